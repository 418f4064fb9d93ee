"""Codes made unique: against the best of all choices, on cases small enough for it."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment

from skhyper.generative import _reassign
from skhyper.generative._items import ItemPoints
from skhyper.generative._reassign import (
    find_keepers,
    match_nearest,
    move_by_prefix,
    settle,
)
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer


def all_codes(sizes):
    return np.array(list(itertools.product(*map(range, sizes))))


def free_codes(sizes, taken):
    codes = all_codes(sizes)
    return codes[~(codes[:, None] == taken[None]).all(axis=2).any(axis=1)]


def prefix_cost(code, other):
    """Tokens from the first that differs to the last."""
    same = itertools.takewhile(bool, code == other)
    return len(code) - len(list(same))


@st.composite
def crowds(draw):
    """Codes of a small space, some of which are taken, with room for all."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    space = all_codes(sizes)
    seed = draw(st.integers(0, 2**31))
    rng = np.random.RandomState(seed)
    n_taken = rng.randint(len(space))
    taken = space[rng.permutation(len(space))[:n_taken]]
    n = rng.randint(1, len(space) - n_taken + 1)
    # the more alike, the more collide
    codes = np.floor(rng.rand(n, len(sizes)) ** 3 * sizes).astype(np.int64)
    return codes, sizes, taken


@given(crowds())
def test_settled_codes_are_unique_and_move_nobody_in_vain(crowd):
    codes, sizes, taken = crowd
    settled = settle(codes, sizes, taken)
    both = np.concatenate([taken, settled])
    assert len(np.unique(both, axis=0)) == len(both)
    assert (settled >= 0).all()
    assert (settled < sizes).all()
    # each code given that was free has its first owner
    for code in np.unique(codes, axis=0):
        mine = np.flatnonzero((codes == code).all(axis=1))
        kept = np.flatnonzero((settled[mine] == code).all(axis=1))
        free = not (taken == code).all(axis=1).any()
        assert kept.tolist() == ([0] if free else [])


@given(crowds())
def test_moves_by_prefix_cost_no_more_than_the_best_choice(crowd):
    codes, sizes, taken = crowd
    movers = codes[~find_keepers(codes, taken, None)]
    taken = np.unique(np.concatenate([taken, codes]), axis=0)
    moved, free = move_by_prefix(movers, sizes, taken), free_codes(sizes, taken)
    for power in (1, 3):  # any cost that grows with the tokens from the first change
        cost = [[prefix_cost(code, f) ** power for f in free] for code in movers]
        cost = np.reshape(cost, (len(movers), len(free)))
        best = cost[linear_sum_assignment(cost)].sum()
        pairs = zip(movers, moved, strict=True)
        assert sum(prefix_cost(*pair) ** power for pair in pairs) == best


def test_codes_of_many_levels_have_more_room_than_int64():
    sizes = [256] * 12
    codes = np.zeros((600, 12), dtype=np.int64)
    settled = settle(codes, sizes, codes[:0])
    assert len(np.unique(settled, axis=0)) == 600
    # 256 keep all but the last token, the others all but the last two
    changed = (settled != codes).any(axis=0)
    assert changed.tolist() == [False] * 10 + [True, True]
    assert (settled[:, -2] == 0).sum() == 256


@functools.cache
def small_quantizer(kind):
    train = np.random.RandomState(0).randn(60, 3)
    return kind(2, 3, n_init=1, max_iter=5, random_state=0).fit(train)


def small_space(kind, n, seed):
    """A quantizer of 3 x 3 codes, and items that crowd on some of them."""
    rng = np.random.RandomState(seed)
    X = rng.randn(1, 3) + 0.7 * rng.randn(n, 3)
    return small_quantizer(kind), X, small_quantizer(kind).transform(X)


def oracle_errors(quantizer, X, codes):
    """Errors of items, by public names alone."""
    manifold = quantizer._manifold()
    points = np.asarray(manifold.expmap0(X))
    found = np.asarray(manifold.expmap0(quantizer.inverse_transform(codes)))
    half = manifold.dist(points, found) / (2 if manifold.c else 1)
    return half**2


KINDS = [ResidualQuantizer, HyperbolicResidualQuantizer]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(n=st.integers(1, 9), seed=st.integers(0, 1000))
def test_moves_by_distance_cost_what_the_best_choice_does(kind, n, seed):
    quantizer, X, codes = small_space(kind, n, seed)
    items = ItemPoints(quantizer, X)
    errors = oracle_errors(quantizer, X, codes)
    assert_allclose(items.errors(codes), errors, rtol=1e-9)
    settled = settle(codes, [3, 3], codes[:0], items)
    assert len(np.unique(settled, axis=0)) == n
    # the best of equal codes stay, and nobody else
    stays = (settled == codes).all(axis=1)
    for code in np.unique(codes, axis=0):
        mine = np.flatnonzero((codes == code).all(axis=1))
        assert stays[mine].tolist() == (mine == mine[errors[mine].argmin()]).tolist()
    movers, free = np.flatnonzero(~stays), free_codes([3, 3], codes)
    if movers.size:
        actual = oracle_errors(quantizer, X[movers], settled[movers]).sum()
        rows, columns = np.repeat(movers, len(free)), np.tile(free, (len(movers), 1))
        cost = oracle_errors(quantizer, X[rows], columns).reshape(len(movers), -1)
        assert_allclose(actual, cost[linear_sum_assignment(cost)].sum(), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_few_codes_shown_find_the_best_of_all(kind, monkeypatch):
    """Lists that start with 2 codes grow until the choice is that of whole lists."""
    rng = np.random.RandomState(3)
    train = rng.randn(300, 3)
    quantizer = kind(2, 8, n_init=1, max_iter=5, random_state=0).fit(train)
    X = train[:1] + 0.3 * rng.randn(30, 3)
    codes = quantizer.transform(X)
    items = ItemPoints(quantizer, X)
    best = settle(codes, [8, 8], codes[:0], items)
    assert (best != codes).any(axis=1).sum() > 5
    seen, nearest = [], ItemPoints.nearest
    monkeypatch.setattr(_reassign, "ALL", 0)
    monkeypatch.setattr(_reassign, "FEW", 2)
    monkeypatch.setattr(
        _reassign, "_first_shown", lambda given, room: np.full(len(given), 2)
    )
    monkeypatch.setattr(
        ItemPoints, "nearest", lambda *args: (seen.append(args[-1]), nearest(*args))[1]
    )
    # a beam as wide as the list may miss a code that a whole list has
    found = settle(codes, [8, 8], codes[:0], items)
    assert sorted(set(seen)) == [2, 8, 32] or sorted(set(seen)) == [2, 8, 32, 64]
    assert_allclose(items.errors(found).sum(), items.errors(best).sum(), rtol=0.02)


def test_crowds_beyond_all_lists_move_by_prefix(monkeypatch):
    rng = np.random.RandomState(0)
    train = rng.randn(200, 2)
    quantizer = ResidualQuantizer(2, 8, n_init=1, random_state=0).fit(train)
    X = np.repeat(train[:1], 40, axis=0) + 1e-6 * rng.randn(40, 2)
    codes, items = quantizer.transform(X), ItemPoints(quantizer, X)
    assert len(np.unique(codes, axis=0)) == 1
    monkeypatch.setattr(_reassign, "ALL", 0)
    monkeypatch.setattr(_reassign, "FEW", 4)
    monkeypatch.setattr(_reassign, "MANY", 12)
    found, matched = match_nearest(items, np.arange(40), codes, [8, 8], codes[:1])
    assert 0 < matched.sum() < 12
    assert len(np.unique(found[matched], axis=0)) == matched.sum()
    settled = settle(codes, [8, 8], codes[:0], items)
    assert len(np.unique(settled, axis=0)) == 40


def test_where_all_near_codes_are_taken_prefixes_decide(monkeypatch):
    monkeypatch.setattr(_reassign, "ALL", 0)
    monkeypatch.setattr(_reassign, "FEW", 2)
    monkeypatch.setattr(_reassign, "MANY", 2)
    quantizer, X, codes = small_space(ResidualQuantizer, 1, 0)
    items = ItemPoints(quantizer, X)
    (near,), _ = items.nearest(np.arange(1), 2, 2)
    assert codes.tolist() == near[:1].tolist() or codes.tolist() == near[1:].tolist()
    found, matched = match_nearest(items, np.arange(1), codes, [3, 3], near)
    assert not matched.any()
    assert_array_equal(found, codes)
    settled = settle(codes, [3, 3], near, items)
    assert_array_equal(settled, move_by_prefix(codes, [3, 3], near))


def test_the_nearest_codes_of_a_wide_beam_are_all_codes():
    quantizer, X, _ = small_space(HyperbolicResidualQuantizer, 5, 0)
    codes, errors = ItemPoints(quantizer, X).nearest(np.arange(5), 2, 9)
    for row in range(5):
        assert_array_equal(np.unique(codes[row], axis=0), all_codes([3, 3]))
        expected = oracle_errors(quantizer, np.tile(X[row], (9, 1)), codes[row])
        assert_allclose(errors[row], expected, rtol=1e-9)


def test_keepers_are_the_best_and_the_first_of_ties():
    codes = np.array([[0, 1], [0, 1], [2, 2], [0, 1], [1, 1]])
    taken = np.array([[1, 1]])
    keeps = find_keepers(codes, taken, None)
    assert keeps.tolist() == [True, False, True, False, False]
    error = np.array([2.0, 1.0, 9.0, 1.0, 0.0])
    keeps = find_keepers(codes, taken, error)
    assert keeps.tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("n_taken", [0, 2])
def test_more_items_than_codes(n_taken):
    codes = np.zeros((7 - n_taken, 2), dtype=np.int64)
    with pytest.raises(ValueError, match=r"7 items .* sizes \[2, 3\] have 6 codes"):
        settle(codes, [2, 3], all_codes([2, 3])[:n_taken])
