"""A transformer from the codes of past items to that of the next, and its beam search.

A sequence is encoded once for all of its items that are to be predicted, since an item
is read with those before it alone. How far back an item lies shifts the attention that
it gets, as in T5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from skhyper._nn._translator import CodeTranslator, Reader

# what attention is shifted by where there is nothing to attend to: no probability
NEVER = -1e9


class HistoryTranslator(CodeTranslator):
    """The distribution of each token of the next item's code, given a history.

    A history is a row of codes, one after the other, the oldest first, and -1 after the
    last. `nats` takes a row for several items of a sequence: how many it begins with
    that are not to be predicted, and the codes of all.

    Parameters
    ----------
    sizes : sequence of int
        Number of tokens of each column of a code.
    max_history : int
        The most items of a history.
    width, n_blocks, n_heads, hidden, dropout
        As in `CodeModel`, of encoder and decoder.

    References
    ----------
    C. Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer", JMLR 2020, Section 2.1: attention by distance.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        max_history: int,
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            sizes,
            None,
            len(sizes),
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            hidden=hidden,
            dropout=dropout,
        )
        # Of the encoder and of the readings, a number for each distance in items. It
        # starts by falling, in each head more slowly than in the one before (Press et
        # al., "Train Short, Test Long", 2022).
        slope = 4.0 * 2.0 ** (-8.0 * torch.arange(n_heads) / n_heads)
        fall = -slope[:, None] * torch.arange(max_history)
        self.recency = nn.Parameter(fall.repeat(2, 1, 1))

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the mean log-probability of the items to predict, (n, 1)."""
        first, items = codes[:, :1], codes[:, 1:].unflatten(1, (-1, self.n_columns))
        target = items[:, 1:].flatten(0, 1)
        encoder, reading = self._shifts(items.shape[1] - 1)
        opened = self._open(self._encoded(items[:, :-1].flatten(1), encoder))
        x = self._decode(target.clamp(min=0), opened, reading)
        place = torch.arange(1, items.shape[1], device=codes.device)
        wanted = (place >= first) & (items[:, 1:, 0] >= 0)
        each = wanted.flatten()
        nats = self._losses(x[each], target[each]).mean(dim=1)
        means = torch.zeros_like(wanted, dtype=nats.dtype).masked_scatter(wanted, nats)
        return (means.sum(dim=1) / wanted.sum(dim=1))[:, None]

    def _reader(self, source: torch.Tensor) -> Reader:
        """Return what the decoder reads of histories after their last items."""
        n_items = source.shape[1] // self.n_columns
        encoder, reading = self._shifts(n_items)
        opened = self._open(self._encoded(source, encoder))
        last = (source[:, :: self.n_columns] >= 0).sum(dim=1) - 1
        # what comes next reads as the tokens of the last item do
        mask = reading[:, last * self.n_columns].transpose(0, 1)[:, :, None]
        return opened, mask

    def _encoded(self, source: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Return what the encoder makes of histories, and of their empty columns."""
        n_items = source.shape[1] // self.n_columns
        x = self.tokens(source.clamp(min=0) + self.first_of_source.repeat(n_items))
        x = self.dropout(x + self.source_columns.repeat(n_items, 1))
        for block in self.encoder:
            x = block(x, mask=shift)
        encoded: torch.Tensor = self.source_norm(x)
        return encoded

    def _shifts(self, n_items: int) -> torch.Tensor:
        """Return what is added to attention: of each token to each of a history.

        Tokens of an item see this item and those before it.
        """
        place = torch.arange(n_items, device=self.device)
        back = place[:, None] - place
        shift = self.recency[:, :, back.clamp(min=0)].masked_fill(back < 0, NEVER)
        n_columns = self.n_columns
        return shift.repeat_interleave(n_columns, 2).repeat_interleave(n_columns, 3)
