"""The tokens that may follow a prefix, as tensors beside a network."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from skhyper._utils._trie import CodeTrie


class Choices(nn.Module):
    """The children of nodes of a `CodeTrie`, wherever the network is.

    Parameters
    ----------
    trie : CodeTrie
        The codes that there are.

    Attributes
    ----------
    first : list of int
        Where the nodes of each level but the root's begin if all are numbered in one
        go, and the number of all.
    """

    def __init__(self, trie: CodeTrie) -> None:
        super().__init__()
        self._widest = trie.widest
        self._size = int(trie.rows.max()) + 1
        counts = [trie.n_nodes(level) for level in range(1, trie.width + 1)]
        self.first = np.cumsum([0, *counts]).tolist()
        for level in range(trie.width):
            starts, tokens = trie.starts[level], trie.tokens[level]
            # nodes are in the order of their parents, and then of their last tokens
            keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) * self._size
            tables = {"starts": starts, "tokens": tokens, "keys": keys + tokens}
            for name, table in tables.items():
                values = torch.from_numpy(table)
                self.register_buffer(f"{name}_{level}", values, persistent=False)

    def forward(
        self, level: int, nodes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens that may follow nodes of a level, and where there is one.

        Two tensors (n, n_widest), as wide as the widest node of the level, in rising
        order; where there is none stands some other token.
        """
        starts, tokens = self._table("starts", level), self._table("tokens", level)
        begin, end = starts[nodes][:, None], starts[nodes + 1][:, None]
        children = begin + torch.arange(self._widest[level], device=begin.device)
        exists = children < end
        return tokens[torch.where(exists, children, begin)], exists

    def follow(
        self, level: int, nodes: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the children of nodes by their tokens, and their places among these.

        Tokens that none has give some node.
        """
        keys = self._table("keys", level)
        children = torch.searchsorted(keys, nodes * self._size + tokens)
        children = children.clamp(max=len(keys) - 1)
        return children, children - self._table("starts", level)[nodes]

    def prefixes(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the nodes of all prefixes of codes, numbered in one go."""
        nodes, found = torch.zeros_like(codes[..., 0]), []
        for level in range(codes.shape[-1]):
            token = codes[..., level].contiguous()
            nodes, _ = self.follow(level, nodes, token)
            found.append(nodes + self.first[level])
        return torch.stack(found, dim=-1)

    def _table(self, name: str, level: int) -> torch.Tensor:
        return cast(torch.Tensor, getattr(self, f"{name}_{level}"))
