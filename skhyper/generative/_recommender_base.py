"""What recommenders of the next item share: sequences in, items out, and a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skhyper.generative._ids import KINDS, as_ids, find_ids, some
from skhyper.metrics._recommendation import ndcg_at_k

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Histories(NamedTuple):
    """Sequences of items, one after the other: i has ``rows[starts[i]:starts[i + 1]]``.

    An item is its row among the sorted ids.
    """

    rows: IntArray
    starts: IntArray

    @property
    def lengths(self) -> IntArray:
        """Number of items of each sequence."""
        return np.diff(self.starts)

    @property
    def owners(self) -> IntArray:
        """The sequence that each place in `rows` belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def last(self) -> IntArray:
        """Return the last item of each sequence, none of which is empty."""
        return self.rows[self.starts[1:] - 1]

    def without_last(self) -> Histories:
        """Return all sequences without their last items."""
        kept = np.ones(len(self.rows), dtype=bool)
        kept[self.starts[1:] - 1] = False
        return Histories(self.rows[kept], self.starts - np.arange(len(self.starts)))

    def tails(self, width: int) -> IntArray:
        """Return the last items of each sequence, (n, width), and -1 after the last."""
        ends = self.starts[1:, None]
        first = np.maximum(self.starts[:-1, None], ends - width)
        at = first + np.arange(width)
        return np.where(at < ends, self.rows[np.minimum(at, ends - 1)], -1)


def check_sequences(
    sequences: Any, ids: NDArray[Any], *, min_length: int = 1
) -> Histories:
    """Return sequences of known items.

    Parameters
    ----------
    sequences : list of array-likes
        Ids of items, all integers or all strings.
    ids : array
        All that there are, in rising order.
    min_length : int
        How many items each sequence must have, at least 1.

    Raises
    ------
    ValueError
        If there is no sequence, one is shorter than `min_length`, or one has something
        else than ids of known items.
    """
    arrays = [check_items(items, at) for at, items in enumerate(sequences)]
    if not arrays:
        raise ValueError("sequences is empty; give at least one.")
    lengths = np.array([len(array) for array in arrays])
    short = np.flatnonzero(lengths < min_length)
    if short.size:
        wanted = "an item" if min_length == 1 else f"{min_length} items"
        raise ValueError(
            f"sequences[{short[0]}] has {lengths[short[0]]} items; each needs at least "
            f"{wanted}. Leave short ones out ({len(short)} of {len(arrays)})."
        )
    for at, array in enumerate(arrays):
        if array.dtype.kind != ids.dtype.kind:
            raise ValueError(
                f"sequences[{at}] has {KINDS[array.dtype.kind]}, but ids of items are "
                f"{KINDS[ids.dtype.kind]}. Give them as they were given before."
            )
    histories = Histories(np.concatenate(arrays), np.append(0, np.cumsum(lengths)))
    rows, unknown = find_ids(ids, histories.rows)
    if unknown.size:
        first = np.flatnonzero(ids[rows] != histories.rows)[0]
        names = np.unique(unknown)
        raise ValueError(
            f"sequences[{histories.owners[first]}] has an unknown item, "
            f"{histories.rows[first].item()!r}. There are {len(names)} such items: "
            f"{some(names.tolist())}. Leave them out, or fit with them."
        )
    return histories._replace(rows=rows)


def check_items(items: Any, at: int) -> NDArray[Any]:
    """Return the ids of one sequence, or raise a ValueError that names it."""
    try:
        return as_ids(items)
    except ValueError as error:
        raise ValueError(f"sequences[{at}] cannot be used: {error}") from error


class NextItemRecommender(BaseEstimator, ABC):
    """Recommend the item that comes next.

    A subclass sets `items_`, the sorted ids of all items, and says in `_ranked` what it
    would recommend.
    """

    items_: NDArray[Any]

    def recommend(
        self, sequences: Sequence[ArrayLike], k: int = 10, *, exclude_seen: bool = False
    ) -> NDArray[Any]:
        """Return the items that most likely come next.

        Parameters
        ----------
        sequences : list of n sequences of item ids
            What each user has had, oldest first.
        k : int, default=10
            How many items to return.
        exclude_seen : bool, default=False
            Whether to leave out what a user has had already.

        Returns
        -------
        items : array of shape (n, k)
            Their ids, best first.

        Raises
        ------
        ValueError
            If a sequence is empty or has an unknown item, or there are fewer items to
            recommend than `k`.
        """
        check_is_fitted(self)
        histories = check_sequences(sequences, self.items_)
        return self.items_[self._recommend(histories, k, exclude_seen)]

    def score(
        self, sequences: Sequence[ArrayLike], y: None = None, k: int = 10
    ) -> float:
        """Return NDCG@k of the last item of each sequence, given those before it.

        Parameters
        ----------
        sequences : list of sequences of item ids
            At least two items each, oldest first.
        y : None
            Ignored.
        k : int, default=10
            How many items are recommended.

        Returns
        -------
        score : float
            Between 0 and 1: the mean of ``1 / log2(1 + rank)`` of the last items, 0
            where they are not recommended.

        Raises
        ------
        ValueError
            As `recommend` does, or if a sequence has fewer than two items.
        """
        check_is_fitted(self)
        histories = check_sequences(sequences, self.items_, min_length=2)
        ranked = self._recommend(histories.without_last(), k, False)
        return ndcg_at_k(histories.last(), ranked, int(k))

    def _recommend(self, histories: Histories, k: Any, exclude_seen: bool) -> IntArray:
        """Return rows of `items_`, (n, k)."""
        if not isinstance(k, Integral) or int(k) < 1:
            raise ValueError(f"k={k!r} must be an integer above 0.")
        n_items, seen = len(self.items_), np.empty(0, dtype=np.int64)
        if exclude_seen:  # a number for each user and each item that the user has had
            seen = np.unique(histories.owners * n_items + histories.rows)
        n_seen = int(np.bincount(seen // n_items, minlength=1).max())
        if int(k) > n_items - n_seen:
            seen_by_one = f", of which a user has had {n_seen}" if n_seen else ""
            raise ValueError(
                f"k={k} is too large: there are {n_items} items{seen_by_one}. Lower k"
                + (", or set exclude_seen=False." if n_seen else ".")
            )
        ranked = self._ranked(histories, int(k) + n_seen)
        if not exclude_seen:
            return ranked
        users = np.arange(len(ranked))[:, None]
        stale = np.isin(users * n_items + ranked, seen)
        order = np.argsort(stale, axis=1, kind="stable")[:, : int(k)]
        return np.take_along_axis(ranked, order, axis=1)

    @abstractmethod
    def _ranked(self, histories: Histories, k: int) -> IntArray:
        """Return rows of `items_`, (n, k), best first, for at most all items."""
