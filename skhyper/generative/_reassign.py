"""Codes made unique: who keeps a code that several have, and where the others go."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from skhyper._utils._codes import mixed_radix
from skhyper.generative._counter import add_counter
from skhyper.generative._items import ItemPoints
from skhyper.metrics._codes import prefix_ids

BoolArray = NDArray[np.bool]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Of how many codes a moving item has its choice at first, by how much more, where that
# may not do, and at last.
FEW, MORE, MANY = 32, 4, 512
# where there are no more pairs of an item and a code, an item may choose of all codes
ALL = 2**18


def settle(
    codes: IntArray,
    sizes: Sequence[int],
    taken: IntArray,
    items: ItemPoints | None = None,
) -> IntArray:
    """Return codes like those given, no two of them equal, and none of those `taken`.

    In each group of equal codes the item that fits best keeps its code, the first one
    where that is not known; nobody keeps a taken one. The others move to free codes at
    the least cost in total: the sum of their errors, or, without `items`, the number of
    tokens from the first that changes.

    Parameters
    ----------
    codes : int64 array (n, n_levels)
        Tokens below `sizes`.
    sizes : sequence of int
        Codes of each level.
    taken : int64 array (n_taken, n_levels)
        Distinct codes that are not free.
    items : ItemPoints of length n, default=None
        Where the items lie.

    Raises
    ------
    ValueError
        If there are more codes to keep apart than there are, or items have several
        positions.
    """
    check_room(len(codes) + len(taken), sizes)
    if items is not None and items.n_positions > 1:
        raise ValueError(
            f"X has codes at {items.n_positions} positions of a row, which do not move "
            "by distance with unique='reassign'. Leave X out, or use unique='counter'."
        )
    keeps = find_keepers(codes, taken, None if items is None else items.errors(codes))
    settled, left = codes.copy(), np.flatnonzero(~keeps)
    taken = np.concatenate([taken, codes[keeps]])
    if items is not None and left.size:
        # of those with one code there are no more than may find another near by
        few = left[add_counter(codes[left])[:, -1] < MANY]
        found, matched = match_nearest(items, few, codes[few], sizes, taken)
        settled[few[matched]] = found[matched]
        taken = np.concatenate([taken, found[matched]])
        left = np.setdiff1d(left, few[matched])
    settled[left] = move_by_prefix(codes[left], sizes, taken)
    return settled


def check_room(n_codes: int, sizes: Sequence[int]) -> None:
    """Raise a ValueError if there are not as many distinct codes."""
    room = math.prod(int(size) for size in sizes)
    if n_codes > room:
        raise ValueError(
            f"codes has {n_codes} items to keep apart, but codebooks of sizes "
            f"{[int(size) for size in sizes]} have {room} codes only. Fit a tokenizer "
            "with more levels or a larger codebook_size, or use unique='counter'."
        )


def find_keepers(
    codes: IntArray, taken: IntArray, error: FloatArray | None
) -> BoolArray:
    """Return which rows keep their codes: of equal ones the best, the first of ties."""
    group = _keys(taken, codes)
    mine = group[len(taken) :]
    order = np.lexsort((np.zeros(len(mine)) if error is None else error, mine))
    first = np.unique(mine[order], return_index=True)[1]
    keeps = np.zeros(len(codes), dtype=bool)
    keeps[order[first]] = True
    return keeps & ~_occupied(group, len(taken))[mine]


def match_nearest(
    items: ItemPoints,
    rows: IntArray,
    given: IntArray,
    sizes: Sequence[int],
    taken: IntArray,
) -> tuple[IntArray, BoolArray]:
    """Give items free codes, such that the sum of their errors is least.

    An item has the choice of the free ones among the codes nearest to it. Beside them
    it has one of its own, at the error of the last of them, that stands for all codes
    beyond: as long as the cheapest choice for all takes one of those, the items
    concerned are shown more. A choice without any is the best of all codes. `given` are
    the codes that the items have to leave.

    Returns
    -------
    found : int64 array (n_rows, n_levels)
        The codes, as given where no other was found.
    matched : bool array (n_rows,)
        False where no code was left among the `MANY` nearest.
    """
    n, width = len(rows), len(sizes)
    room = min(math.prod(int(size) for size in sizes), 2**62)
    shown = np.full(n, room) if n * room <= ALL else _first_shown(given, room)
    grow = np.ones(n, dtype=bool)
    owner, codes = np.empty(0, np.int64), np.empty((0, width), np.int64)
    cost, bound = np.empty(0), np.empty(n)
    while grow.any():
        kept = ~grow[owner]
        parts = [(owner[kept], codes[kept], cost[kept])]
        for k in np.unique(shown[grow]):
            at = np.flatnonzero(grow & (shown == k))
            near, error = items.nearest(rows[at], width, int(k))
            bound[at] = error.max(axis=1)
            who = np.repeat(at, near.shape[1])
            parts.append((who, near.reshape(-1, width), error.ravel()))
        owner, codes, cost = map(np.concatenate, zip(*parts, strict=True))
        keys = _keys(taken, codes)
        free = ~_occupied(keys, len(taken))[keys[len(taken) :]]
        owner, codes, cost = owner[free], codes[free], cost[free]
        chosen = _cheapest(owner, keys[len(taken) :][free], cost, bound, shown, room)
        grow = (chosen < 0) & (shown < min(MANY, room))
        shown = np.where(grow, np.minimum(shown * MORE, min(MANY, room)), shown)
    matched, found = chosen >= 0, given.copy()
    found[matched] = codes[chosen[matched]]
    return found, matched


def _first_shown(given: IntArray, room: int) -> IntArray:
    """Return how many codes an item sees at first: more, the more have its code."""
    group = prefix_ids(given)[:, -1]
    crowd = np.bincount(group)[group]
    shown = np.clip(2 ** np.ceil(np.log2(2 * crowd)).astype(np.int64), FEW, MANY)
    return np.minimum(shown, room)


def _cheapest(
    owner: IntArray,
    keys: IntArray,
    cost: FloatArray,
    bound: FloatArray,
    shown: IntArray,
    room: int,
) -> IntArray:
    """Return the pair that each owner takes, or -1 where it takes its own extra one."""
    n = len(bound)
    column = np.unique(keys, return_inverse=True)[1]
    n_columns = int(column.max(initial=-1)) + 1
    scale = max(float(bound.max()), np.finfo(np.float64).tiny)
    # those who have seen many take the extra one only if there is no other
    extra = np.where(shown < MANY, bound / scale, 1e3)
    alone = np.flatnonzero(shown < room)
    rows, columns = np.r_[owner, alone], np.r_[column, n_columns + alone]
    # a weight of 0 would be no pair at all
    weights = np.r_[cost / scale, extra[alone]] + 1.0
    pairs = csr_array((weights, (rows, columns)), shape=(n, n_columns + n))
    at, taken = min_weight_full_bipartite_matching(pairs)
    at, taken = at[taken < n_columns], taken[taken < n_columns]
    chosen = np.full(n, -1, dtype=np.int64)
    place = owner * n_columns + column
    order = np.argsort(place)
    chosen[at] = order[np.searchsorted(place[order], at * n_columns + taken)]
    return chosen


def move_by_prefix(codes: IntArray, sizes: Sequence[int], taken: IntArray) -> IntArray:
    """Return free codes that share the longest prefixes with those given, all taken.

    Each subtree of prefixes houses as many of its own as it has room for, and hands the
    rest to the next larger one. No other choice has fewer codes leave any subtree, so
    that this one is the best for every cost that grows with the tokens from the first
    that changes.
    """
    moved, left = codes.copy(), np.arange(len(codes))
    for depth in reversed(range(len(sizes))):
        if not left.size:
            break
        groups = np.concatenate([taken, codes[left]])
        key = prefix_ids(groups)[:, depth - 1] if depth else np.zeros(len(groups), int)
        theirs, mine = key[: len(taken)], key[len(taken) :]
        suffix = mixed_radix(taken[:, depth:], sizes[depth:])
        order = np.lexsort((suffix, theirs))
        theirs, suffix = theirs[order], suffix[order]
        room = math.prod(int(size) for size in sizes[depth:])
        housed = np.zeros(len(left), dtype=bool)
        queue = np.argsort(mine, kind="stable")
        for members in np.split(queue, np.flatnonzero(np.diff(mine[queue])) + 1):
            begin, end = np.searchsorted(theirs, mine[members[0]] + np.array([0, 1]))
            members = members[: room - (end - begin)]
            free = _first_free(suffix[begin:end], len(members))
            tokens = np.unravel_index(free, [int(size) for size in sizes[depth:]])
            moved[left[members], depth:] = np.stack(tokens, axis=1)
            housed[members] = True
        taken, left = np.concatenate([taken, moved[left[housed]]]), left[~housed]
    return moved


def _first_free(occupied: IntArray, n: int) -> IntArray:
    """Return the `n` lowest numbers from 0 on that are not in a rising list."""
    rank = np.arange(n)
    below = occupied - np.arange(len(occupied))  # how many are free below each
    return np.asarray(rank + np.searchsorted(below, rank, side="right"))


def _keys(taken: IntArray, codes: IntArray) -> IntArray:
    """Return a number for each row of both, equal for equal codes."""
    return prefix_ids(np.concatenate([taken, codes]))[:, -1]


def _occupied(keys: IntArray, n_taken: int) -> BoolArray:
    """Return, for each number, whether one of the first `n_taken` rows has it."""
    occupied = np.zeros(int(keys.max()) + 1, dtype=bool)
    occupied[keys[:n_taken]] = True
    return occupied
