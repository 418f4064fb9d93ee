"""A causal transformer over the items of a history, and how it is trained."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from skhyper._nn._runtime import INFERENCE_ROWS, apply_in_blocks, to_tensor
from skhyper._nn._sequence import SequenceTrainer
from skhyper._nn._transformer import CodeModel

# A batch is trained on in so many parts of like length, each padded to its own longest:
# most histories are short, and the gradient is that of the whole batch.
N_PARTS = 4

# how many recommendations the measure that stops training looks at
N_RANKED = 10


class ItemTransformer(CodeModel):
    """The distribution of each item of a sequence, given those before it.

    Rows hold items from the left, and -1 after the last. Column j sees its place and
    the items before it, so that nothing has to be masked.

    Parameters
    ----------
    n_items : int
        Number of items.
    max_history : int
        The most items that the next one is told from.
    width, n_blocks, n_heads, dropout
        As in `CodeModel`.

    References
    ----------
    W.-C. Kang, J. McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018.
    """

    def __init__(
        self,
        n_items: int,
        max_history: int,
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            [n_items],
            max_history + 1,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            dropout=dropout,
        )
        # items are read and predicted by the same vectors
        self.outputs = nn.ModuleList()

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the mean log-probability of all items but the first, (n, 1)."""
        lengths = (codes >= 0).sum(dim=1)
        order = lengths.argsort(stable=True)
        means = [
            self._mean_nats(codes[part, : int(lengths[part[-1]])])
            for part in order.chunk(N_PARTS)
        ]
        return torch.cat(means)[order.argsort(), None]

    def gains(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the NDCG of the last item of each row; ties go to the lowest item."""
        rows = torch.arange(len(codes), device=codes.device)
        last = (codes >= 0).sum(dim=1) - 1
        target = codes[rows, last][:, None]
        logits = self._item_logits(self._states(codes)[rows, last])
        own = logits.gather(1, target)
        items = torch.arange(logits.shape[1], device=codes.device)
        ahead = (logits > own) | ((logits == own) & (items < target))
        n_ahead = ahead.sum(dim=1)
        return torch.where(n_ahead < N_RANKED, 1.0 / torch.log2(n_ahead + 2.0), 0.0)

    def scores(self, histories: NDArray[np.int64]) -> NDArray[Any]:
        """Return the logits of all items that may come after histories, (n, n_items).

        Histories have `max_history` columns.
        """
        self.eval()
        return apply_in_blocks(self._next, histories, torch.int64, self.device)

    def _next(self, histories: torch.Tensor) -> torch.Tensor:
        n_given = (histories >= 0).sum(dim=1)
        x = self._states(functional.pad(histories, (0, 1), value=-1))
        rows = torch.arange(len(x), device=x.device)
        return self._item_logits(x[rows, n_given])

    def _mean_nats(self, codes: torch.Tensor) -> torch.Tensor:
        wanted = codes >= 0
        wanted[:, 0] = False  # a cut sequence does not begin there
        logits = self._item_logits(self._states(codes)[wanted])
        nats = functional.cross_entropy(logits.float(), codes[wanted], reduction="none")
        each = torch.zeros_like(codes, dtype=nats.dtype).masked_scatter(wanted, nats)
        return each.sum(dim=1) / wanted.sum(dim=1)

    def _states(self, codes: torch.Tensor) -> torch.Tensor:
        """Return what the blocks make of each column."""
        before = functional.pad(self.tokens(codes[:, :-1].clamp(min=0)), (0, 0, 1, 0))
        x: torch.Tensor = self.dropout(self.columns[: codes.shape[1]] + before)
        for block in self.blocks:
            x = block(x)
        return x

    def _item_logits(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(self.norm(x), self.tokens.weight)


class NextItemTrainer(SequenceTrainer):
    """Fit an `ItemTransformer`; the NDCG of rows' last items decides, if any are given.

    Its parameters are those of a `SequenceTrainer`.
    """

    @torch.no_grad()
    def _error(self, codes: Any, weight: torch.Tensor) -> float:
        """Return minus the NDCG, so that less is better."""
        self.model.eval()
        total = 0.0
        for rows in torch.arange(len(codes)).split(INFERENCE_ROWS):
            some = to_tensor(codes[rows.numpy()], torch.int64, weight.device)
            gains = cast(ItemTransformer, self.model).gains(some)
            total += float(weight[rows.to(weight.device)] @ gains)
        return -total / len(codes)
