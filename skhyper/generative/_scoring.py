"""Recommenders that have a score for every item, and what they learn from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper.generative._ids import as_ids, check_no_repeats
from skhyper.generative._recommender_base import (
    Histories,
    IntArray,
    NextItemRecommender,
    check_items,
    check_sequences,
)

# histories whose scores of all items are in memory at once
BLOCK_ROWS = 256


class ScoringRecommender(NextItemRecommender):
    """Recommend the items of the highest scores; of equal ones the lowest id first."""

    @abstractmethod
    def _scores(self, histories: Histories) -> NDArray[Any]:
        """Return the scores of all items, (n, n_items), for a block of histories."""

    def _ranked(self, histories: Histories, k: int) -> IntArray:
        blocks = _blocks(histories, BLOCK_ROWS)
        return np.concatenate([largest(self._scores(block), k) for block in blocks])


def read_sequences(
    sequences: Any, items: ArrayLike | None, min_length: int = 1
) -> tuple[NDArray[Any], Histories]:
    """Return the sorted ids of all items, and sequences to learn from.

    Raises
    ------
    ValueError
        If `sequences` or `items` cannot be used.
    """
    arrays = [check_items(sequence, at) for at, sequence in enumerate(sequences)]
    if items is None:
        filled = [array for array in arrays if len(array)]
        kinds = {array.dtype.kind for array in filled}
        if len(kinds) > 1:
            raise ValueError(
                "sequences hold integers and strings; give ids of one type, such as "
                "[[str(i) for i in sequence] for sequence in sequences]."
            )
        ids = np.unique(np.concatenate(filled)) if filled else np.array([], np.int64)
    else:
        ids = np.sort(as_ids(items))
        check_no_repeats(ids)
    return ids, check_sequences(arrays, ids, min_length=min_length)


def largest(scores: NDArray[Any], k: int) -> IntArray:
    """Return the columns of the `k` largest of each row, best first; ties by column."""
    n_rows, n_columns = scores.shape
    least = np.partition(scores, n_columns - k, axis=1)[:, n_columns - k, None]
    above, equal = scores > least, scores == least
    n_equal = k - above.sum(axis=1, keepdims=True)
    kept = above | (equal & (equal.cumsum(axis=1) <= n_equal))
    columns = np.nonzero(kept)[1].reshape(n_rows, k)
    found = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _blocks(histories: Histories, n_rows: int) -> Iterator[Histories]:
    """Yield histories, at most `n_rows` at a time."""
    for first in range(0, len(histories.lengths), n_rows):
        starts = histories.starts[first : first + n_rows + 1]
        yield Histories(histories.rows[starts[0] : starts[-1]], starts - starts[0])
