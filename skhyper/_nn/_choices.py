"""The tokens that may follow a prefix, as tensors beside a network."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from skhyper._utils._trie import CodeTrie


class Choices(nn.Module):
    """The children of nodes of a `CodeTrie`, wherever the network is.

    A level has as many columns as its widest node has children, so that a node's are
    computed with alike whatever other nodes there are.

    Parameters
    ----------
    trie : CodeTrie
        The codes that there are.
    """

    def __init__(self, trie: CodeTrie) -> None:
        super().__init__()
        self._widest = [int(np.diff(starts).max()) for starts in trie.starts]
        for level in range(trie.width):
            for name in ("starts", "tokens"):
                array = torch.from_numpy(getattr(trie, name)[level])
                self.register_buffer(f"{name}_{level}", array, persistent=False)

    def forward(
        self, level: int, nodes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens that may follow nodes of a level, and where there is one.

        Two tensors (n, n_widest), in rising order; where there is none stands some
        other token.
        """
        starts, tokens = self._level("starts", level), self._level("tokens", level)
        begin, end = starts[nodes][:, None], starts[nodes + 1][:, None]
        children = begin + torch.arange(self._widest[level], device=begin.device)
        exists = children < end
        return tokens[torch.where(exists, children, begin)], exists

    def child(
        self, level: int, nodes: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """Return the children that stand at a place among those of their node."""
        return self._level("starts", level)[nodes] + place

    def _level(self, name: str, level: int) -> torch.Tensor:
        return cast(torch.Tensor, getattr(self, f"{name}_{level}"))
