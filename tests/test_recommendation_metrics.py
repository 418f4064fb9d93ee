"""Rankings against scikit-learn's, and the paired bootstrap against scipy's tests."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ttest_rel
from sklearn.metrics import ndcg_score

from skhyper.metrics import ndcg_at_k, paired_bootstrap, recall_at_k

SEEDS = st.integers(0, 2**32 - 1)

id_rows = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, max_side=8),
    elements=st.integers(-1, 4),
)


def slow_ndcg(y_true, y_ranked, k):
    """Gain of each row of tuples."""
    gains = []
    for target, row in zip(y_true, y_ranked, strict=True):
        known = []
        for entry in row:
            if any(token != -1 for token in entry) and entry not in known:
                known.append(entry)
        listed = known[:k]
        gains.append(
            1 / math.log2(listed.index(target) + 2) if target in listed else 0.0
        )
    return gains


@given(st.integers(2, 9), st.integers(1, 6), st.integers(1, 9), SEEDS)
def test_ndcg_is_scikit_learns_of_one_relevant_item(n_items, n_rows, k, seed):
    rng = np.random.default_rng(seed)
    y_ranked = np.array([rng.permutation(n_items) for _ in range(n_rows)])
    y_true = rng.integers(n_items, size=n_rows)
    scores = -np.argsort(y_ranked, axis=1).astype(float)
    relevance = np.eye(n_items)[y_true]
    expected = ndcg_score(relevance, scores, k=k)
    assert_allclose(ndcg_at_k(y_true, y_ranked, k), expected, rtol=1e-12)


@given(id_rows, st.integers(1, 9), SEEDS)
def test_ndcg_equals_lists_without_repeats(y_ranked, k, seed):
    y_true = np.random.default_rng(seed).integers(5, size=len(y_ranked))
    rows = [[(entry,) for entry in row] for row in y_ranked.tolist()]
    expected = slow_ndcg([(target,) for target in y_true.tolist()], rows, k)
    each = ndcg_at_k(y_true, y_ranked, k, average=False)
    assert each.dtype == np.float64
    assert_allclose(each, expected, rtol=1e-15)
    assert ndcg_at_k(y_true, y_ranked, k) == each.mean()


@given(
    arrays(
        np.int32,
        st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 3)),
        elements=st.integers(-1, 1),
    ),
    st.integers(1, 8),
    SEEDS,
)
def test_ndcg_of_codes_needs_all_tokens(y_ranked, k, seed):
    y_true = np.random.default_rng(seed).integers(2, size=y_ranked.shape[::2])
    rows = [[tuple(entry) for entry in row] for row in y_ranked.tolist()]
    targets = [tuple(target) for target in y_true.tolist()]
    each = ndcg_at_k(y_true, y_ranked, k, average=False)
    assert_allclose(each, slow_ndcg(targets, rows, k), rtol=1e-15)


@given(id_rows, SEEDS)
def test_ndcg_beside_recall(y_ranked, seed):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(5, size=len(y_ranked))
    depths = range(1, y_ranked.shape[1] + 2)
    ndcg = np.array([ndcg_at_k(y_true, y_ranked, k) for k in depths])
    recall = np.array([recall_at_k(y_true, y_ranked, k) for k in depths])
    assert ndcg[0] == recall[0]
    assert np.all(np.diff(ndcg) >= 0)
    assert np.all((ndcg > 0) == (recall > 0))
    assert np.all(ndcg <= recall + 1e-12)
    # other names for the items, and the rows in another order
    names, order = rng.permutation(5), rng.permutation(len(y_true))
    renamed = np.where(y_ranked < 0, -1, names[y_ranked])
    k = y_ranked.shape[1]
    assert_array_equal(
        ndcg_at_k(names[y_true][order], renamed[order], k, average=False),
        ndcg_at_k(y_true, y_ranked, k, average=False)[order],
    )


@pytest.mark.parametrize(
    ("y_true", "y_ranked", "k", "message"),
    [
        ([1], [[1]], 0, "k=0 must be an integer of at least 1"),
        ([1.0], [[1]], 1, "y_true must be integers, got dtype float64"),
        ([1, 2], [[1]], 1, r"got \(2,\) and \(1, 1\)"),
        ([1], np.empty((1, 0), dtype=int), 1, r"y_ranked is empty: .* \(1, 0\)"),
        ([-1], [[-1]], 1, "y_true has the value -1; -1 is padding"),
    ],
)
def test_bad_rankings_are_named(y_true, y_ranked, k, message):
    with pytest.raises(ValueError, match=message):
        ndcg_at_k(y_true, y_ranked, k)


def test_many_users_give_the_normal_interval_and_p_value():
    rng = np.random.default_rng(0)
    b = rng.exponential(size=4000)
    a = b + rng.normal(0.01, 1.0, size=4000)
    test = paired_bootstrap(a, b, random_state=0)
    normal = ttest_rel(a, b)
    assert test.difference == pytest.approx((a - b).mean())
    low, high = normal.confidence_interval()
    width = high - low
    assert_allclose([test.low, test.high], [low, high], atol=0.04 * width)
    assert 0.01 < normal.pvalue < 0.2  # else there is little to compare
    assert test.p_value == pytest.approx(normal.pvalue, rel=0.2)


def test_the_interval_covers_and_the_test_keeps_its_level():
    rng = np.random.default_rng(1)
    covered, rejected, n_trials = 0, 0, 300
    for trial in range(n_trials):
        users = rng.gamma(2.0, size=60)  # what pairing takes out
        noise = rng.normal(size=(2, 60))
        one, other = users + noise[0], users + noise[1]
        drawn = {"n_resamples": 199, "random_state": trial}
        test = paired_bootstrap(one + 0.3, other, **drawn)
        covered += test.low <= 0.3 <= test.high
        null = paired_bootstrap(one, other, **drawn)
        rejected += null.p_value <= 0.1
    assert 0.90 <= covered / n_trials <= 0.98
    assert 0.05 <= rejected / n_trials <= 0.16


def test_runs_are_averaged_and_users_stay_together():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(size=(3, 40)), rng.uniform(size=(2, 40))
    runs = paired_bootstrap(a, b, n_resamples=99, random_state=0)
    means = paired_bootstrap(a.mean(0), b.mean(0), n_resamples=99, random_state=0)
    assert runs == means
    # users who differ alike in all runs: more runs are no more users
    effect = rng.normal(size=40)
    one = paired_bootstrap(effect, np.zeros(40), n_resamples=99, random_state=0)
    many = paired_bootstrap(
        np.tile(effect, (50, 1)), np.zeros((50, 40)), n_resamples=99, random_state=0
    )
    assert_allclose(many, one, rtol=1e-12)


@settings(max_examples=20)
@given(arrays(np.float64, (2, 12), elements=st.floats(-5, 5)), SEEDS)
def test_bootstrap_laws(figures, seed):
    a, b = figures
    test = paired_bootstrap(a, b, n_resamples=59, random_state=seed)
    assert test.low - 1e-12 <= test.high
    assert 2 / 60 <= test.p_value <= 1
    assert (a - b).min() - 1e-12 <= test.low
    assert test.high <= (a - b).max() + 1e-12
    swapped = paired_bootstrap(b, a, n_resamples=59, random_state=seed)
    assert_allclose(
        [swapped.difference, swapped.low, swapped.high, swapped.p_value],
        [-test.difference, -test.high, -test.low, test.p_value],
        atol=1e-12,
    )
    wide = paired_bootstrap(
        a, b, n_resamples=59, confidence_level=0.99, random_state=seed
    )
    assert wide.low <= test.low + 1e-12
    assert wide.high >= test.high - 1e-12


def test_no_difference_and_a_constant_one():
    same = np.linspace(0, 1, 30)
    none = paired_bootstrap(same, same, n_resamples=99, random_state=0)
    assert none == (0.0, 0.0, 0.0, 1.0)
    always = paired_bootstrap(same + 0.5, same, n_resamples=99, random_state=0)
    assert always.p_value == 2 / 100
    assert_allclose(always[:3], 0.5)


def test_the_draws_are_those_of_the_seed():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 50))
    before = np.random.get_state()[1].copy()
    one, again = (paired_bootstrap(a, b, random_state=5) for _ in range(2))
    other = paired_bootstrap(a, b, random_state=6)
    assert one == again
    assert other.low != one.low
    assert_array_equal(np.random.get_state()[1], before)


def test_figures_of_each_row_are_what_the_bootstrap_takes():
    y_true, lists = [3, 5, 7, 2], [[3, 4], [4, 5], [9, -1], [1, 2]]
    good = ndcg_at_k(y_true, lists, 2, average=False)
    bad = ndcg_at_k(y_true, [row[::-1] for row in lists], 2, average=False)
    test = paired_bootstrap(good, bad, n_resamples=99, random_state=0)
    assert test.difference == pytest.approx(good.mean() - bad.mean())


GOOD = [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("a", "b", "parameters", "message"),
    [
        (GOOD, GOOD[:2], {}, "a has 3 users, b has 2"),
        ([[GOOD]], GOOD, {}, r"a must have shape .* got \(1, 1, 3\)"),
        (GOOD, [], {}, r"b must have shape .* got \(0,\)"),
        ([0.0, 1.0, np.nan], GOOD, {}, "a must hold finite numbers"),
        (GOOD, ["x", "y", "z"], {}, "b must hold finite numbers"),
        ([1.0], [0.0], {}, "a and b have 1 user; at least 2"),
        (GOOD, GOOD, {"n_resamples": 0}, "n_resamples=0 must be an integer"),
        (GOOD, GOOD, {"n_resamples": 9.0}, "n_resamples=9.0 must be an integer"),
        (GOOD, GOOD, {"confidence_level": 95}, "confidence_level=95 .* such as 0.95"),
        (GOOD, GOOD, {"confidence_level": "x"}, "confidence_level='x' must be"),
    ],
)
def test_bad_figures_are_named(a, b, parameters, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(a, b, **parameters)


@pytest.mark.parametrize("dtype", [str, object])
def test_names_count_as_their_numbers_do(dtype):
    rng = np.random.default_rng(0)
    target, ranked = rng.integers(0, 9, 50), rng.integers(0, 9, (50, 6))
    names = np.array([f"item {i}" for i in range(9)], dtype=dtype)
    for metric in (ndcg_at_k, recall_at_k):
        assert metric(names[target], names[ranked], 4) == metric(target, ranked, 4)
