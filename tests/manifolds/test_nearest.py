"""The nearest code is the exact one, whatever the batch, its layout and its size."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.manifolds import _nearest as nearest_module
from skhyper.manifolds._nearest import CodeScores, _Bounds

BALL, FLAT = PoincareBall(), Euclidean()
N_ROWS, N_CODES, N_FEATURES = 2000, 256, 32
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
manifolds = pytest.mark.parametrize("manifold", [BALL, FLAT], ids=str)


def scores(manifold, X, codes):
    """``|x - c|^2 / A_c`` in float64, by real differences."""
    X, codes = X.astype("float64"), codes.astype("float64")
    gap = 1.0 - manifold.c * np.sum(codes**2, axis=1)
    return cdist(X, codes, "sqeuclidean") / gap


def residuals(scale, dtype, n_rows=N_ROWS, n_codes=N_CODES, d=N_FEATURES):
    rng = np.random.default_rng(0)
    X, codes = np.split(rng.normal(size=(n_rows + n_codes, d)) / d**0.5, [n_rows])
    return (0.5 * scale * X).astype(dtype), (0.5 * scale * codes).astype(dtype)


def cluster(radius, spread, dtype):
    """Rows and codes of one cluster, `radius` from the origin and `spread` wide."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=N_FEATURES)
    center = BALL.expmap0(radius / 2 * u / np.linalg.norm(u))
    steps = rng.normal(size=(N_ROWS + N_CODES, N_FEATURES)) * spread / N_FEATURES**0.5
    points = BALL.expmap(center, BALL.gap(center) * steps / 2).astype(dtype)
    return np.split(points, [N_ROWS])


# exactness


@dtypes
@manifolds
@pytest.mark.parametrize("scale", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_residuals_of_every_scale(manifold, scale, dtype):
    X, codes = residuals(scale, dtype)
    expected = scores(manifold, X, codes).argmin(axis=1)
    assert len(np.unique(expected)) > N_CODES / 2
    np.testing.assert_array_equal(manifold.nearest(X, codes), expected)


@dtypes
@pytest.mark.parametrize("radius", [2.0, 4.0, 6.2, 8.0, 10.0])
@pytest.mark.parametrize("spread", [0.01, 0.1, 0.5])
def test_clusters_near_the_rim(radius, spread, dtype):
    X, codes = cluster(radius, spread, dtype)
    expected = scores(BALL, X, codes).argmin(axis=1)
    np.testing.assert_array_equal(BALL.nearest(X, codes), expected)


@pytest.mark.parametrize("c", [0.01, 0.3, 2.7, 50.0])
def test_every_curvature(c):
    ball = PoincareBall(c)
    rng = np.random.default_rng(0)
    X, codes = np.split(ball.expmap0(rng.normal(size=(300, 4)) / c**0.5), [250])
    expected = ball.pairwise_dist(X, codes).argmin(axis=1)
    np.testing.assert_array_equal(ball.nearest(X, codes), expected)


def test_the_gap_of_float32_codes_is_taken_in_float64():
    """In float32 it is off by 5e-5 at radius 8, enough to change codes."""
    X, codes = cluster(10.0, 0.1, "float32")
    rough = CodeScores(codes, BALL.gap(codes)[:, 0]).nearest(X.astype("float64"))
    assert np.any(rough != BALL.nearest(X, codes))


# bounds


def mixed(dtype, n_rows=500, n_codes=100):
    """Rows and codes at all distances up to 12, so that gaps differ a millionfold."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=(n_rows + n_codes, 3))
    u *= rng.uniform(0, 6, size=(len(u), 1)) / np.linalg.norm(u, axis=1, keepdims=True)
    return np.split(BALL.expmap0(u).astype(dtype).astype("float64"), [n_rows])


@dtypes
@pytest.mark.parametrize(
    "data",
    [
        residuals(1.0, "float64", 500, 100),
        residuals(1e-4, "float64", 500, 100),
        [a[:500] for a in cluster(8.0, 0.1, "float64")],
        mixed("float64"),
    ],
    ids=["bulk", "small", "cluster", "mixed"],
)
def test_bounds_hold_the_exact_scores(data, dtype):
    X, codes = data
    gap = BALL.gap(codes)[:, 0]
    bounds = _Bounds(codes, gap, np.dtype(dtype).type)
    square = np.sum(X * X, axis=1)
    low = (bounds._factors(X, square) @ bounds._table).astype("float64")
    every = np.broadcast_to(np.arange(len(codes)), low.shape)
    high = low + bounds._reach(square[:, None], every)
    exact = cdist(X, codes, "sqeuclidean") / gap
    assert np.all(low <= exact)
    assert np.all(exact <= high)


@dtypes
def test_codes_at_the_rim_leave_other_rows_their_proof(dtype):
    """The reach is that of the row's own code, not of the code with the least gap."""
    X, codes = mixed(dtype)
    bounds = _Bounds(codes, BALL.gap(codes)[:, 0], np.float32)
    best, unproven = bounds.nearest(X, np.sum(X * X, axis=1))
    expected = scores(BALL, X, codes).argmin(axis=1)
    assert len(unproven) < 0.05 * len(X)
    proven = np.setdiff1d(np.arange(len(X)), unproven)
    np.testing.assert_array_equal(best[proven], expected[proven])
    np.testing.assert_array_equal(BALL.nearest(X, codes), expected)


# ties


@dtypes
@manifolds
def test_ties_go_to_the_lowest_index(manifold, dtype):
    X, codes = residuals(1.0, dtype, n_rows=200, n_codes=20)
    expected = manifold.nearest(X, codes)
    for repeated in (np.repeat(codes, 3, axis=0), np.tile(codes, (3, 1))):
        found = manifold.nearest(X, repeated)
        first = [
            np.flatnonzero((repeated == codes[k]).all(axis=1))[0] for k in expected
        ]
        np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(manifold.nearest(X, 0 * codes), 0)
    np.testing.assert_array_equal(
        manifold.nearest(0 * X, np.vstack([codes, 0 * codes])), 20
    )


@manifolds
def test_mirrored_codes_are_an_exact_tie(manifold):
    """Products round the two sides of a mirror differently; differences do not."""
    rng = np.random.default_rng(0)
    codes = rng.uniform(0.01, 0.4, size=(40, 3))
    X = np.column_stack([np.zeros(500), rng.uniform(-0.4, 0.4, size=(500, 2))])
    mirrored = np.vstack([codes, codes * [-1.0, 1.0, 1.0]])
    assert manifold.nearest(X, mirrored).max() < 40
    np.testing.assert_array_equal(
        manifold.nearest(X, mirrored), manifold.nearest(X, codes)
    )


def test_many_copies_of_one_code_take_little_memory():
    """Every pair is a near tie then, as after a collapse; all at once it is 1 GB."""
    X, _ = residuals(1.0, "float64", n_rows=1024, d=128)
    tracemalloc.start()
    try:
        labels = FLAT.nearest(X, np.ones((256, 128)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(labels, 0)
    assert peak < 1e8


# a pure function of the row


def hard_case(manifold, dtype):
    """Rows halfway between two codes, so that the rounding of a product decides."""
    X, codes = residuals(1.0, dtype, n_rows=1500, n_codes=64)
    first, second = np.random.default_rng(1).integers(64, size=(2, 700))
    X[:700] = manifold.midpoint(np.stack([codes[first], codes[second]], axis=1))
    return X, codes


@dtypes
@manifolds
def test_order_and_size_of_the_batch_do_not_count(manifold, dtype, monkeypatch):
    X, codes = hard_case(manifold, dtype)
    expected = manifold.nearest(X, codes)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(manifold.nearest(X[order], codes), expected[order])
    alone = [manifold.nearest(x[None], codes)[0] for x in X[600:800]]
    np.testing.assert_array_equal(alone, expected[600:800])
    for rows in (1, 7, 100, 4096):
        monkeypatch.setattr(nearest_module, "BLOCK_ROWS", rows)
        monkeypatch.setattr(nearest_module, "BLOCK_PAIRS", rows)
        monkeypatch.setattr(nearest_module, "BLOCK_SCORES", 10 * rows)
        np.testing.assert_array_equal(manifold.nearest(X, codes), expected)


@dtypes
@manifolds
def test_memory_layout_does_not_count(manifold, dtype):
    X, codes = hard_case(manifold, dtype)
    expected = manifold.nearest(X, codes)
    wide = np.zeros((2 * len(X), 2 * N_FEATURES), dtype=dtype)
    wide[::2, ::2] = X
    for rows in (np.asfortranarray(X), wide[::2, ::2], X[::-1].copy()[::-1]):
        np.testing.assert_array_equal(manifold.nearest(rows, codes), expected)
    np.testing.assert_array_equal(
        manifold.nearest(X, np.asfortranarray(codes)), expected
    )
    # float32 values are float64 values
    np.testing.assert_array_equal(
        manifold.nearest(X.astype("float64"), codes.astype("float64")), expected
    )


# extremes


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1e30, "float32"), (1e-30, "float32"), (1e200, "float64"), (1e-200, "float64")],
)
def test_squares_that_overflow_or_underflow(size, dtype):
    X, codes = residuals(1.0, "float64", n_rows=300, n_codes=30, d=5)
    scaled = (X * size).astype(dtype), (codes * size).astype(dtype)
    expected = scores(FLAT, *(a.astype("float64") / size for a in scaled)).argmin(
        axis=1
    )
    np.testing.assert_array_equal(FLAT.nearest(*scaled), expected)


def test_rows_far_longer_than_the_codes():
    codes = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    X = np.array([[-1.0, 0.1], [0.1, 1.0], [1.0, 0.1]])
    # float32 cannot tell these apart, float64 can
    np.testing.assert_array_equal(FLAT.nearest(1e12 * X, codes), [1, 2, 0])
    # and these are equally far from all codes, in float64 too
    np.testing.assert_array_equal(FLAT.nearest(1e25 * X, codes), [0, 0, 0])


@dtypes
@manifolds
def test_one_code_one_feature_no_row(manifold, dtype):
    X, codes = residuals(1.0, dtype, n_rows=50, n_codes=9, d=1)
    expected = scores(manifold, X, codes).argmin(axis=1)
    np.testing.assert_array_equal(manifold.nearest(X, codes), expected)
    np.testing.assert_array_equal(manifold.nearest(X, codes[:1]), np.zeros(50))
    assert manifold.nearest(X[:0], codes).shape == (0,)


# kinds


@dtypes
@manifolds
def test_result_is_int64_of_the_same_kind(manifold, dtype):
    X, codes = residuals(1.0, dtype, n_rows=10, n_codes=5)
    labels = manifold.nearest(X, codes)
    assert isinstance(labels, np.ndarray)
    assert labels.dtype == np.int64
    labels = manifold.nearest(torch.from_numpy(X), torch.from_numpy(codes))
    assert isinstance(labels, torch.Tensor)
    assert labels.dtype == torch.int64


@manifolds
@pytest.mark.parametrize(("dtype", "slack"), [("float32", 1e-5), ("float64", 1e-13)])
def test_torch_agrees_up_to_near_ties(manifold, dtype, slack):
    X, codes = hard_case(manifold, dtype)
    found = manifold.nearest(torch.from_numpy(X), torch.from_numpy(codes)).numpy()
    expected = manifold.nearest(X, codes)
    assert np.mean(found[700:] == expected[700:]) > 0.99
    exact, rows = scores(manifold, X, codes), np.arange(len(X))
    assert np.all(exact[rows, found] <= exact[rows, expected] + slack)


@manifolds
def test_candidates_hold_the_best_codes_with_their_exact_scores(manifold):
    X, codes = residuals(1.0, "float64", n_rows=50, n_codes=30)
    table = CodeScores(codes, np.asarray(manifold.gap(codes))[:, 0])
    exact = scores(manifold, X, codes)
    for n_best in (1, 4, 30, 99):
        row, code, score = table.candidates(X, n_best)
        np.testing.assert_allclose(score, exact[row, code], rtol=1e-13)
        for i, best in enumerate(exact.argsort(axis=1)[:, :n_best]):
            assert set(best) <= set(code[row == i])
