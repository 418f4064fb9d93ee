"""What the next item is learnt from: it, and the items before it, as rows of codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skhyper.generative._recommender_base import Histories

IntArray = NDArray[np.int64]


class NextItems:
    """Items and the histories before them, as rows of codes made when asked for.

    A row has the codes of the history, the latest item first, -1 as far as the longest
    history asked for, and the code of the item.

    Parameters
    ----------
    histories : Histories
        The sequences.
    codes : int64 array (n_items, n_levels)
        The code of each item.
    width : int
        How many items of a history to give.
    at : int64 array, optional
        The places in ``histories.rows`` of the items. All but those that begin a
        sequence if not given.

    Attributes
    ----------
    lengths : int64 array
        Number of items of each row's history, in rising order.
    """

    def __init__(
        self,
        histories: Histories,
        codes: IntArray,
        width: int,
        at: IntArray | None = None,
    ) -> None:
        self.histories, self.width = histories, width
        # a history's place without an item, -1, takes the last row
        self.codes = np.vstack([codes, np.full(codes.shape[1], -1)])
        n_before = np.arange(len(histories.rows)) - histories.starts[histories.owners]
        at = np.flatnonzero(n_before) if at is None else at
        lengths = np.minimum(n_before[at], width)
        order = np.argsort(lengths, kind="stable")
        self.at, self.lengths = at[order], lengths[order]
        self.owners = histories.owners[self.at]

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, which: IntArray) -> IntArray:
        at, width = self.at[which], int(self.lengths[which].max())
        seen = self.histories.window(at, self.owners[which], width)
        items = np.column_stack([seen[:, ::-1], self.histories.rows[at]])
        return self.codes[items].reshape(len(at), -1)

    def split_last(self) -> tuple[NextItems, NextItems]:
        """Return the rows of all items but the last of each sequence, and of these."""
        last = np.isin(self.at, self.histories.starts[1:] - 1)
        given = self.histories, self.codes[:-1], self.width
        return NextItems(*given, self.at[~last]), NextItems(*given, self.at[last])
