"""What the next items are learnt from: sequences of codes, in windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skhyper.generative._recommender_base import Histories

IntArray = NDArray[np.int64]


class NextItems:
    """Windows of sequences, as rows of codes made when asked for.

    A row has the number of its first item to predict, the codes of all its items, the
    oldest first, and -1 as far as the longest one asked for. A sequence that is longer
    than a window has several: each predicts its last items, given at least half of the
    width, and no item is predicted twice.

    Parameters
    ----------
    histories : Histories
        The sequences.
    codes : int64 array (n_items, n_levels)
        The code of each item.
    width : int
        How many items of a history to give, at most.
    last_only : bool
        Whether to predict only the last item of each sequence.

    Attributes
    ----------
    lengths : int64 array
        Number of items of each row.
    n_targets : int64 array
        How many of these are to be predicted.
    """

    def __init__(
        self,
        histories: Histories,
        codes: IntArray,
        width: int,
        *,
        last_only: bool = False,
    ) -> None:
        self._histories, self._width = histories, width
        # the place after a sequence's end, -1, takes the last row
        self._codes = np.vstack([codes, np.full(codes.shape[1], -1)])
        starts, ends = histories.starts[:-1], histories.starts[1:]
        step = max(1, width // 2)
        n_left = 0 if last_only else np.maximum(0, ends - starts - width - 1)
        n_windows = np.where(ends - starts > 1, 1 - (-n_left // step), 0)
        owner = np.repeat(np.arange(len(starts)), n_windows)
        # the window that ends last has number 0
        number = np.arange(len(owner)) - np.repeat(
            np.cumsum(n_windows) - n_windows, n_windows
        )
        self._ends = ends[owner] - number * step
        self._begins = np.maximum(starts[owner], self._ends - width - 1)
        is_first = number == n_windows[owner] - 1
        self._firsts = np.where(is_first, self._begins + 1, self._ends - step)
        if last_only:
            self._firsts = self._ends - 1
        self.lengths = self._ends - self._begins
        self.n_targets = self._ends - self._firsts

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, which: IntArray) -> IntArray:
        begins = self._begins[which]
        at = begins[:, None] + np.arange(int(self.lengths[which].max()))
        inside = at < self._ends[which][:, None]
        items = np.where(inside, self._histories.rows[np.where(inside, at, 0)], -1)
        codes = self._codes[items].reshape(len(at), -1)
        return np.column_stack([self._firsts[which] - begins, codes])

    def split_last(self) -> tuple[NextItems, NextItems]:
        """Return the rows of all items but the last of each sequence, and of these."""
        given = self._codes[:-1], self._width
        return (
            NextItems(self._histories.without_last(), *given),
            NextItems(self._histories, *given, last_only=True),
        )
