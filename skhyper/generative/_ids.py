"""Ids of items: integers or strings, all different, found by bisection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]

KINDS = {"i": "integers", "U": "strings"}


def as_ids(ids: ArrayLike) -> NDArray[Any]:
    """Return ids as a 1-D array of int64 or str, or raise a ValueError."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(
            f"ids must have shape (n_items,), got {array.shape}. Give a list of ids, "
            "also for a single one."
        )
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind == "U" and not isinstance(ids, np.ndarray):
        # a list of numbers and strings would become strings
        array = np.array(list(ids), dtype=object)  # type: ignore[arg-type]
    if array.dtype.kind in "OT":
        values = array.tolist()
        types = {type(value) for value in values}
        if all(issubclass(kind, str) for kind in types):
            return np.array(values, dtype=str)
        if not all(issubclass(kind, int | np.integer) for kind in types):
            names = ", ".join(sorted(kind.__name__ for kind in types))
            raise ValueError(
                f"ids must be all integers or all strings, got {names}. Convert them "
                "with [str(i) for i in ids]."
            )
        array = np.array(values)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind not in "iu" or array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(
            f"ids must be int64 integers or strings, got dtype {array.dtype}. Convert "
            "them with [str(i) for i in ids]."
        )
    return array.astype(np.int64, copy=False)


def check_one_each(codes: IntArray, ids: NDArray[Any]) -> None:
    """Raise a ValueError unless there are as many ids as codes."""
    if len(codes) != len(ids):
        raise ValueError(
            f"codes has {len(codes)} rows and ids has {len(ids)}. Give one id a row."
        )


def check_no_repeats(ids: NDArray[Any]) -> None:
    """Raise a ValueError if two of the ids, in rising order, are equal."""
    repeats = np.unique(ids[1:][ids[1:] == ids[:-1]]).tolist()
    if repeats:
        raise ValueError(
            f"ids has {len(repeats)} that occur more than once: {some(repeats)}. Give "
            "each item once."
        )


def find_ids(known: NDArray[Any], ids: NDArray[Any]) -> tuple[IntArray, NDArray[Any]]:
    """Return where ids are among rising ones, and those that are not."""
    if known.dtype.kind != ids.dtype.kind and ids.size:
        raise ValueError(
            f"ids are {KINDS[ids.dtype.kind]}, and those of the index are "
            f"{KINDS[known.dtype.kind]}. Give them as they were given to fit."
        )
    if known.dtype.kind != ids.dtype.kind:
        ids = ids.astype(known.dtype)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return at, ids[known[at] != ids]


def some(values: list[Any]) -> str:
    """Return the first few of a list, as text."""
    more = ", ..." if len(values) > 3 else ""
    return ", ".join(map(repr, values[:3])) + more
