"""What users took, in the order of time: gathered from events, and split to test."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_scalar

# A user needs an item to train on, one to validate with and one to test with.
SHORTEST = 3


def leave_one_out(
    sequences: Iterable[Any],
    timestamps: Iterable[Any] | None = None,
    *,
    min_length: int = 3,
) -> Bunch:
    """Split sequences of items: the last one tests, and the one before validates.

    This is the split of most work on sequential recommendation [1]_.

    Parameters
    ----------
    sequences : list of array-likes of shape (n_events,)
        The item ids of each user in the order of time, all strings or all integers.
    timestamps : list of array-likes of shape (n_events,), default=None
        When each event was: numbers or datetimes that never fall. With them the split
        says which targets are arbitrary, because other items have the same time.
    min_length : int, default=3
        Users with fewer events are left out, at least those with fewer than 3.

    Returns
    -------
    split : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes. Items are int64 or str
        objects, and users are in the order of `sequences`.

        train : list of n_users ndarrays
            All items but the last two.
        validation_histories : list of n_users ndarrays
            What comes before the validation targets: the same as `train`.
        validation_targets : ndarray of shape (n_users,)
            The last item but one of each user.
        test_histories : list of n_users ndarrays
            What comes before the test targets: all items but the last.
        test_targets : ndarray of shape (n_users,)
            The last item of each user.
        users : ndarray of shape (n_users,), int64
            The place in `sequences` of each user in the split.
        left_out : ndarray of shape (n_left_out,), int64
            The place in `sequences` of each user that is too short for it.
        validation_ambiguous, test_ambiguous : ndarray of shape (n_users,), bool
            Only with `timestamps`: whether another item of this user has the time of
            the target, so that either may come last.
        n_ambiguous : int
            Only with `timestamps`: how many test targets are ambiguous.

    Raises
    ------
    ValueError
        If a sequence does not hold strings or integers alone, no user is long enough,
        or the timestamps do not fit the sequences or fall.
    TypeError
        If `min_length` is not an integer.

    See Also
    --------
    make_store : Generated sequences of items in a tree.
    fetch_amazon_reviews_2014 : Reviews by time, to the day.
    fetch_movielens : Ratings by time, to the second.

    Notes
    -----
    Two published orders of the Amazon reviews of Beauty differ in 28.8 % of the test
    targets, because their time is the day and ties are settled in other ways. A result
    should therefore say how many targets are ambiguous, and what settles them. Here
    it is the order of `sequences`.

    References
    ----------
    .. [1] W.-C. Kang, J. McAuley, "Self-Attentive Sequential Recommendation",
       ICDM 2018, section IV-A.

    Examples
    --------
    >>> from skhyper.datasets import leave_one_out
    >>> split = leave_one_out([[3, 1, 4, 5], [9, 2], [6, 5, 3]])
    >>> split.train
    [array([3, 1]), array([6])]
    >>> split.validation_targets, split.test_targets
    (array([4, 5]), array([5, 3]))
    >>> split.test_histories
    [array([3, 1, 4]), array([6, 5])]
    >>> split.left_out
    array([1])

    With days, it shows that the first user took 4 and 5 on one day:

    >>> days = [[1, 2, 7, 7], [1, 1], [2, 3, 5]]
    >>> leave_one_out([[3, 1, 4, 5], [9, 2], [6, 5, 3]], days).n_ambiguous
    1
    """
    check_scalar(min_length, "min_length", Integral, min_val=SHORTEST)
    rows = _check_sequences(sequences)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    users = np.flatnonzero(lengths >= min_length)
    if not users.size:
        longest = int(lengths.max(initial=0))
        raise ValueError(
            f"None of the {len(rows)} sequences has min_length={min_length} events; "
            f"the longest has {longest}."
        )
    kept = [rows[user] for user in users]
    kind = kept[0].dtype
    split = Bunch(
        train=[row[:-2] for row in kept],
        validation_histories=[row[:-2] for row in kept],
        validation_targets=np.array([row[-2] for row in kept], dtype=kind),
        test_histories=[row[:-1] for row in kept],
        test_targets=np.array([row[-1] for row in kept], dtype=kind),
        users=users,
        left_out=np.flatnonzero(lengths < min_length),
    )
    if timestamps is not None:
        times = _check_times(timestamps, lengths)
        dated = [(rows[user], times[user]) for user in users]
        split.validation_ambiguous = np.array([_tied(*pair, -2) for pair in dated])
        split.test_ambiguous = np.array([_tied(*pair, -1) for pair in dated])
        split.n_ambiguous = int(np.count_nonzero(split.test_ambiguous))
    return split


def by_user(
    users: NDArray[Any], times: NDArray[Any], *columns: NDArray[Any]
) -> tuple[NDArray[Any], list[list[NDArray[Any]]]]:
    """Gather events: return the users, sorted, and a list for times and each column.

    A list holds an array for each user, in the order of time; where times are equal
    the order of the events stays.
    """
    user_ids, number = np.unique(users, return_inverse=True)
    order = np.lexsort((times, number))
    ends = np.cumsum(np.bincount(number))[:-1]
    return user_ids, [np.split(each[order], ends) for each in (times, *columns)]


def _tied(items: NDArray[Any], times: NDArray[Any], at: int) -> bool:
    """Tell whether another item has the time of the one at a place."""
    return bool(np.any(items[times == times[at]] != items[at]))


def _check_sequences(sequences: Iterable[Any]) -> list[NDArray[Any]]:
    """Return vectors of int64 or of str objects, or raise a ValueError."""
    rows = [_check_items(row, at) for at, row in enumerate(sequences)]
    kinds = {row.dtype: at for at, row in enumerate(rows) if len(row)}
    if len(kinds) > 1:
        first, second = sorted(kinds.values())
        raise ValueError(
            f"sequences[{first}] and sequences[{second}] mix strings and integers; "
            "make all item ids the same kind."
        )
    return rows


def _check_items(row: Any, at: int) -> NDArray[Any]:
    """Return a copy of one user's items as int64 or as str objects."""
    if isinstance(row, Iterable) and not isinstance(row, str):
        # NumPy would turn a number beside a string into a string.
        given = row if isinstance(row, np.ndarray) else np.array([*row], dtype=object)
        if given.ndim == 1:
            kinds = set(map(type, given.tolist()))
            if all(issubclass(kind, str) for kind in kinds):
                return given.astype(object)
            if bool not in kinds and all(issubclass(kind, Integral) for kind in kinds):
                return given.astype(np.int64)
    raise ValueError(
        f"sequences[{at}] must list item ids, all strings or all integers, got "
        f"{str(row)[:80]!r}."
    )


def _check_times(
    timestamps: Iterable[Any], lengths: NDArray[np.int64]
) -> list[NDArray[Any]]:
    """Return a vector for each user that never falls, or raise a ValueError."""
    times = [np.asarray(row) for row in timestamps]
    if len(times) != len(lengths):
        raise ValueError(
            f"timestamps are for {len(times)} users, and sequences for {len(lengths)}."
        )
    for at, (row, length) in enumerate(zip(times, lengths, strict=True)):
        if row.shape != (length,):
            raise ValueError(
                f"timestamps[{at}] has shape {row.shape}, and sequences[{at}] has "
                f"{length} items: give one time for each."
            )
        if not np.all(row[:-1] <= row[1:]):
            raise ValueError(
                f"timestamps[{at}] falls or is missing somewhere; sort each sequence "
                "by time first."
            )
    return times
