"""The metrics against brute force, scikit-learn, and their laws."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    mean_squared_error,
    normalized_mutual_info_score,
    r2_score,
)

from skhyper.datasets import make_tree
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import (
    codebook_usage,
    collision_rate,
    dead_codes,
    distortion,
    perplexity,
    prefix_agreement,
    relative_distortion,
)

SIZE = 5
SCORES = {
    "nmi": normalized_mutual_info_score,
    "ami": adjusted_mutual_info_score,
    "ari": adjusted_rand_score,
}
SEEDS = st.integers(0, 2**32 - 1)

# Few tokens, so that prefixes repeat; up to 20 rows, below which scikit-learn does
# not warn of many classes.
codes_arrays = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, max_side=20).map(
        lambda s: (s[0], s[1] % 4 + 1)
    ),
    elements=st.integers(0, SIZE - 1),
)


def prefixes(codes, depth):
    """Prefixes as tuples of Python ints."""
    return [tuple(row[:depth]) for row in codes.tolist()]


def entropy(counts):
    """Entropy in nats of a mapping from tokens to counts."""
    total = math.fsum(counts.values())
    return -math.fsum(c / total * math.log(c / total) for c in counts.values() if c)


@given(codes_arrays)
def test_usage_and_dead_codes_equal_set_arithmetic(codes):
    sizes = [SIZE + level for level in range(codes.shape[1])]
    used = [set(column) for column in codes.T.tolist()]
    expected = [len(tokens) / size for tokens, size in zip(used, sizes, strict=True)]
    assert codebook_usage(codes, sizes).tolist() == expected
    dead = dead_codes(codes, sizes)
    assert [d.dtype for d in dead] == [np.int64] * len(sizes)
    assert [d.tolist() for d in dead] == [
        sorted(set(range(size)) - tokens)
        for tokens, size in zip(used, sizes, strict=True)
    ]


@given(codes_arrays)
def test_one_size_holds_for_every_level(codes):
    sizes = [SIZE] * codes.shape[1]
    assert_array_equal(codebook_usage(codes, SIZE), codebook_usage(codes, sizes))
    for one, each in zip(
        dead_codes(codes, SIZE), dead_codes(codes, sizes), strict=True
    ):
        assert_array_equal(one, each)


@given(codes_arrays)
def test_perplexity_equals_exp_of_counted_entropy(codes):
    expected = [math.exp(entropy(Counter(column))) for column in codes.T.tolist()]
    assert_allclose(perplexity(codes), expected, rtol=1e-12)


@given(codes_arrays)
def test_perplexity_lies_between_one_and_the_codes_in_use(codes):
    value = perplexity(codes)
    assert np.all(value >= 1 - 1e-12)
    assert np.all(value <= SIZE * codebook_usage(codes, SIZE) * (1 + 1e-12))


@pytest.mark.parametrize("size", [1, 2, 7, 256])
def test_perplexity_of_even_use_is_the_codebook_size(size):
    codes = np.tile(np.arange(size), 3).reshape(-1, 1)
    assert_allclose(perplexity(codes), [size], rtol=1e-12)


@given(codes_arrays, st.data())
def test_perplexity_weight_is_the_number_of_repeats(codes, data):
    counts = arrays(np.int64, len(codes), elements=st.integers(0, 4))
    weight = data.draw(counts.filter(lambda w: w.any()))
    repeated = perplexity(np.repeat(codes, weight, axis=0))
    assert_allclose(perplexity(codes, weight), repeated, rtol=1e-12)
    assert_allclose(perplexity(codes, weight * 1e307), repeated, rtol=1e-12)
    assert_allclose(perplexity(codes, weight * 1e-300), repeated, rtol=1e-12)


@given(codes_arrays)
def test_collision_rate_equals_counted_prefixes(codes):
    n_samples, n_levels = codes.shape
    expected = [
        (n_samples - len(set(prefixes(codes, depth + 1)))) / n_samples
        for depth in range(n_levels)
    ]
    assert collision_rate(codes).tolist() == expected


@given(codes_arrays)
def test_collision_rate_laws(codes):
    rate = collision_rate(codes)
    assert np.all(np.diff(rate) <= 0)
    assert np.all((rate >= 0) & (rate < 1))
    # Every row twice: half of the rows are repeats, and half of the rest as before.
    assert_allclose(collision_rate(np.vstack([codes, codes])), (1 + rate) / 2)
    # A last level that counts the rows makes all codes distinct.
    numbered = np.column_stack([codes, np.arange(len(codes))])
    assert_array_equal(collision_rate(numbered), [*rate, 0.0])


@given(codes_arrays, SEEDS)
def test_codes_metrics_ignore_row_order_and_names_of_tokens(codes, seed):
    rng = np.random.default_rng(seed)
    names = np.array([rng.permutation(SIZE) for _ in codes.T])
    other = names[np.arange(codes.shape[1]), rng.permutation(codes)]
    assert_array_equal(codebook_usage(other, SIZE), codebook_usage(codes, SIZE))
    assert_array_equal(collision_rate(other), collision_rate(codes))
    assert_allclose(perplexity(other), perplexity(codes), rtol=1e-12)


def test_tokens_of_any_size_do_not_overflow():
    top = np.iinfo(np.int64).max
    codes = np.array([[top, top, 0], [top, top - 1, 0], [0, top, 0], [top, top, 1]])
    assert collision_rate(codes).tolist() == [0.5, 0.25, 0.0]
    assert_allclose(perplexity(codes)[0], math.exp(entropy({0: 1, 1: 3})))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_codes_may_have_any_integer_dtype(dtype):
    codes = np.array([[0, 3], [1, 1], [1, 1]])
    assert_array_equal(collision_rate(codes.astype(dtype)), collision_rate(codes))
    assert_array_equal(
        dead_codes(codes.astype(dtype), np.array([2, 4], dtype=dtype))[1], [0, 2]
    )


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_codes_and_labels_may_be_frames(frame):
    codes = {"level0": [0, 0, 1, 1], "level1": [0, 1, 0, 0]}
    labels = {"coarse": ["a", "a", "b", "b"], "fine": ["w", "x", "y", "z"]}
    rows = np.column_stack(list(codes.values()))
    assert_array_equal(collision_rate(frame(codes)), collision_rate(rows))
    expected = prefix_agreement(rows, np.column_stack(list(labels.values())))
    assert_array_equal(prefix_agreement(frame(codes), frame(labels)), expected)


@pytest.mark.parametrize("score", SCORES)
@settings(max_examples=25)
@given(codes=codes_arrays, seed=SEEDS)
def test_prefix_agreement_equals_scikit_learn_on_tuples(score, codes, seed):
    n_samples, n_levels = codes.shape
    labels = np.random.default_rng(seed).integers(3, size=(n_samples, 2))
    expected = np.empty((n_levels, 2))
    for depth in range(n_levels):
        names = [str(prefix) for prefix in prefixes(codes, depth + 1)]
        for column in range(2):
            expected[depth, column] = SCORES[score](labels[:, column], names)
    table = prefix_agreement(codes, labels, score)
    assert_allclose(table, expected, atol=1e-12)
    one = prefix_agreement(codes, labels[:, 1], score)
    assert one.shape == (n_levels,)
    assert_array_equal(one, table[:, 1])
    words = np.array(["owl", "eel", "cod"])[labels]
    for names in (words, words.astype(object)):
        assert_allclose(prefix_agreement(codes, names, score), table, atol=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_prefix_agreement_is_one_where_codes_are_the_tree(score):
    _, labels = make_tree(200, branching=3, depth=3, random_state=0)
    # The token within its parent: only the prefixes are the labels.
    table = prefix_agreement(labels % 3, labels, score)
    assert_allclose(np.diag(table), 1.0, atol=1e-12)
    assert np.all(table[~np.eye(3, dtype=bool)] < 0.9)


def test_scores_corrected_for_chance_are_near_zero_for_random_codes_and_nmi_not():
    rng = np.random.default_rng(0)
    codes, labels = rng.integers(30, size=(500, 2)), rng.integers(4, size=500)
    for score in ("ami", "ari"):
        assert np.all(np.abs(prefix_agreement(codes, labels, score)) < 0.01)
    assert np.all(np.diff(prefix_agreement(codes, labels, "nmi")) > 0.1)


@pytest.mark.parametrize("score", SCORES)
def test_prefix_agreement_is_silent_on_as_many_classes_as_rows(score):
    # Such labels make some of scikit-learn's functions warn.
    codes = np.arange(50).reshape(-1, 1)
    assert prefix_agreement(codes, np.arange(50), score).tolist() == [1.0]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0.0, 1.0]], r"codes must be integers, got dtype float64.*astype"),
        ([[True, False]], "codes must be integers, got dtype bool"),
        ([["a"]], "codes must be integers, got dtype <U1"),
        ([0, 1, 2], r"codes must have shape .* got \(3,\).*reshape\(-1, 1\)"),
        (np.zeros((2, 2, 2), dtype=int), r"got \(2, 2, 2\)"),
        (np.zeros((0, 3), dtype=int), r"at least one sample .* got \(0, 3\)"),
        (np.zeros((3, 0), dtype=int), r"at least one sample .* got \(3, 0\)"),
        ([[0, -1]], "codes must lie between 0 and .* got -1 to 0.*padding"),
        (np.array([[2**63]], dtype=np.uint64), "codes must lie between"),
    ],
)
@pytest.mark.parametrize(
    "metric",
    [
        lambda codes: codebook_usage(codes, 4),
        lambda codes: dead_codes(codes, 4),
        perplexity,
        collision_rate,
        lambda codes: prefix_agreement(codes, [0] * len(codes)),
    ],
)
def test_bad_codes_are_named(metric, codes, message):
    with pytest.raises(ValueError, match=message):
        metric(codes)


@pytest.mark.parametrize("metric", [codebook_usage, dead_codes])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        (3, "codebook_size is 3 at level 1, but codes has the token 3"),
        ([4, 3], "codebook_size is 3 at level 1, but codes has the token 3"),
        ([4, 4, 4], r"codebook_size=\[4, 4, 4\] has 3 entries"),
        ([4.0, 4.0], r"codebook_size=\[4.0, 4.0\] must hold integers"),
    ],
)
def test_bad_codebook_size_is_named(metric, size, message):
    with pytest.raises(ValueError, match=message):
        metric([[0, 3], [1, 2]], size)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"labels must have shape \(2,\) or .* got \(3,\)"),
        (np.zeros((2, 1, 1), dtype=int), r"got \(2, 1, 1\)"),
        (np.zeros((2, 0), dtype=int), r"got \(2, 0\)"),
        ([0.5, 1.5], "labels must be discrete, got dtype float64"),
        (np.array(["a", None], dtype=object), "labels has missing values"),
        (np.array([1, np.nan], dtype=object), "labels has missing values"),
        (pd.Series(["a", pd.NA], dtype="string"), "labels has missing values"),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        prefix_agreement([[0], [1]], labels)


def test_unknown_score_is_named():
    with pytest.raises(ValueError, match=r"score must be one of .*'nmi'.*got 'rand'"):
        prefix_agreement([[0], [1]], [0, 1], score="rand")


@pytest.fixture(scope="module")
def points():
    """Points in the unit ball, others near them, and weights with zeros."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-0.5, 0.5, size=(40, 3))
    weight = rng.integers(0, 4, size=40)
    return X, X + rng.normal(scale=0.05, size=X.shape), weight


def test_distortion_equals_mean_squared_error(points):
    X, X_hat, weight = points
    assert_allclose(distortion(X, X_hat), mean_squared_error(X, X_hat), rtol=1e-12)
    for manifold in (None, Euclidean()):
        assert_allclose(
            distortion(X, X_hat, manifold, weight),
            mean_squared_error(X, X_hat, sample_weight=weight),
            rtol=1e-12,
        )


@pytest.mark.parametrize("c", [0.01, 1.0, 1.3])
def test_distortion_on_the_ball_equals_the_textbook_distance(points, c):
    X, X_hat, weight = points
    total = 0.0
    for x, y, w in zip(X, X_hat, weight, strict=True):
        gaps = (1 - c * np.dot(x, x)) * (1 - c * np.dot(y, y))
        d = np.arccosh(1 + 2 * c * np.dot(x - y, x - y) / gaps) / np.sqrt(c)
        total += w * (d / 2) ** 2 / 3
    value = distortion(X, X_hat, PoincareBall(c), sample_weight=weight)
    assert_allclose(value, total / weight.sum(), rtol=1e-8)


def test_small_curvature_gives_the_flat_distortion(points):
    X, X_hat, weight = points
    value = distortion(X, X_hat, PoincareBall(1e-8), weight)
    assert_allclose(value, distortion(X, X_hat, None, weight), rtol=1e-6)


def test_distortion_does_not_change_under_an_isometry_of_the_disk():
    rng = np.random.default_rng(1)
    z, w = (rng.uniform(-0.6, 0.6, (2, 30, 2)) @ [1, 1j]) * 0.9
    shift = 0.3 - 0.5j
    moved = [(shift + p) / (1 + np.conj(shift) * p) for p in (z, w)]
    pairs = [
        [np.column_stack([p.real, p.imag]) for p in pair] for pair in ((z, w), moved)
    ]
    ball = PoincareBall(1.0)
    assert_allclose(
        distortion(*pairs[0], ball), distortion(*pairs[1], ball), rtol=1e-10
    )
    assert abs(distortion(*pairs[0]) / distortion(*pairs[1]) - 1) > 0.1


def test_relative_distortion_is_one_less_r2(points):
    X, X_hat, weight = points
    for w in (None, weight):
        r2 = r2_score(X, X_hat, sample_weight=w, multioutput="variance_weighted")
        assert_allclose(relative_distortion(X, X_hat, w), 1 - r2, rtol=1e-9)


def test_relative_distortion_does_not_depend_on_scale_place_or_rotation(points):
    X, X_hat, weight = points
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    expected = relative_distortion(X, X_hat, weight)
    moved = [1e3 * A @ rotation + [5.0, -7.0, 9.0] for A in (X, X_hat)]
    assert_allclose(relative_distortion(*moved, weight), expected, rtol=1e-9)
    assert relative_distortion(X, X) == 0.0
    mean = np.average(X, axis=0, weights=weight)
    assert_allclose(
        relative_distortion(X, np.broadcast_to(mean, X.shape), weight), 1.0, rtol=1e-12
    )


def test_errors_are_summed_in_float64():
    X = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    X_hat = (X + np.float32(1e-3)).astype(np.float32)
    assert isinstance(distortion(X, X_hat), float)
    wide = [A.astype(np.float64) for A in (X, X_hat)]
    assert distortion(X, X_hat) == distortion(*wide)
    assert relative_distortion(X, X_hat) == relative_distortion(*wide)


@pytest.mark.parametrize("metric", [distortion, relative_distortion])
def test_bad_points_are_named(metric):
    X = np.array([[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(ValueError, match=r"X_hat must have the shape of X, \(2, 2\)"):
        metric(X, X[:1])
    with pytest.raises(ValueError, match="Input X_hat contains NaN"):
        metric(X, X * [np.nan, 1])
    with pytest.raises(ValueError, match="Expected 2D array"):
        metric(X[0], X[0])
    with pytest.raises(ValueError, match=r"[Nn]egative values.*sample_weight"):
        metric(X, X, sample_weight=[1, -1])
    with pytest.raises(ValueError, match=r"weight"):
        metric(X, X, sample_weight=[0, 0])
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\)"):
        metric(X, X, sample_weight=[1, 1, 1])


def test_points_outside_the_ball_are_named():
    inside, outside = np.array([[0.1, 0.2]]), np.array([[1.1, 0.2]])
    with pytest.raises(ValueError, match="X_hat has 1 of 1 points outside"):
        distortion(inside, outside, PoincareBall(1.0))
    with pytest.raises(ValueError, match="X has 1 of 1 points outside"):
        distortion(outside, inside, PoincareBall(1.0))


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.0]])
def test_points_without_variance_are_named(weight):
    # The mean of three times 0.1 is not 0.1: the check is on the rows.
    X = np.array([[0.1], [0.1], [0.1 if weight is None else 5.0]])
    with pytest.raises(ValueError, match=r"X has no variance.*Use distortion"):
        relative_distortion(X, X + 1, weight)
