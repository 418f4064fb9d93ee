"""A transformer from the codes of past items to that of the next, and its beam search.

A sequence is encoded once for all of its items that are to be predicted, since an item
is read with those before it alone. How far back an item lies shifts the attention that
it gets, as in T5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skhyper._nn._transformer import KeysValues
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
        self, sizes: Sequence[int], max_history: int, *, n_heads: int, **shape: Any
    ) -> None:
        super().__init__(sizes, None, len(sizes), n_heads=n_heads, **shape)
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
        opened, reading = self._read(items[:, :-1].flatten(1))
        x = self._decode(target.clamp(min=0), opened, reading)
        place = torch.arange(1, items.shape[1], device=codes.device)
        wanted = (place >= first) & (items[:, 1:, 0] >= 0)
        each = wanted.flatten()
        nats = self._losses(x[each], target[each]).mean(dim=1)
        means = torch.zeros_like(wanted, dtype=nats.dtype).masked_scatter(wanted, nats)
        return (means.sum(dim=1) / wanted.sum(dim=1))[:, None]

    def _reader(self, source: torch.Tensor) -> Reader:
        """Return what the decoder reads of histories after their last items."""
        opened, reading = self._read(source)
        last = (source[:, :: self.n_columns] >= 0).sum(dim=1) - 1
        # what comes next reads as the tokens of the last item do
        mask = reading[:, last * self.n_columns].transpose(0, 1)[:, :, None]
        return opened, mask

    def _read(self, source: torch.Tensor) -> tuple[list[KeysValues], torch.Tensor]:
        """Return what can be read of histories, and what is added from each place.

        Columns after the last item hold nothing that a place before them sees.
        """
        n_items = source.shape[1] // self.n_columns
        encoder, reading = self._shifts(n_items)
        x = self.tokens(source.clamp(min=0) + self.first_of_source.repeat(n_items))
        x = self.dropout(x + self.source_columns.repeat(n_items, 1))
        for block in self.encoder:
            x = block(x, mask=encoder)
        return self._open(self.source_norm(x)), reading

    def _shifts(self, n_items: int) -> torch.Tensor:
        """Return what is added to attention: of each token to each of a history.

        Tokens of an item see this item and those before it.
        """
        place = torch.arange(n_items, device=self.device)
        back = place[:, None] - place
        shift = self.recency[:, :, back.clamp(min=0)].masked_fill(back < 0, NEVER)
        n_columns = self.n_columns
        return shift.repeat_interleave(n_columns, 2).repeat_interleave(n_columns, 3)
