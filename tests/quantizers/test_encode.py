"""Codes are those of a slow float64 twin, whatever the data, and take little memory."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.quantizers import _stack as stack_module
from skhyper.quantizers._chart import Chart
from skhyper.quantizers._stack import ResidualStack

BALL, FLAT = PoincareBall(), Euclidean()
N_ROWS, N_CODES, N_FEATURES, N_LEVELS = 4000, 256, 32, 3

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
manifolds = pytest.mark.parametrize("manifold", [BALL, FLAT], ids=str)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


# the slow twin: real differences and the rule of the residual, from their formulas


def gap(c, x):
    return 1.0 - c * np.sum(x * x, axis=-1, keepdims=True)


def subtract(c, r, q):
    """``(-q) (+) r``."""
    s, gap_q = r - q, gap(c, q)
    cs2 = c * np.sum(s * s, axis=-1, keepdims=True)
    return (gap_q * s - cs2 * q) / (cs2 + gap_q * gap(c, r))


def nearest(c, X, codes):
    labels = []
    for rows in np.array_split(X, max(1, len(X) // 250)):
        difference = rows[:, None, :] - codes
        square = np.einsum("nkd,nkd->nk", difference, difference)
        labels.append((square / gap(c, codes)[:, 0]).argmin(axis=1))
    return np.concatenate(labels)


def encode(c, Z, codebooks):
    columns = []
    for codes in codebooks:
        columns.append(nearest(c, Z, codes))
        Z = subtract(c, Z, codes[columns[-1]])
    return np.stack(columns, axis=1)


# data: rows and three codebooks, each drawn from what is left to encode


def bulk(rng, scale):
    size = (N_ROWS + N_CODES, N_FEATURES)
    return 0.5 * scale * rng.normal(size=size) / N_FEATURES**0.5


def around(rng, centers, spread):
    steps = rng.normal(size=centers.shape) / N_FEATURES**0.5
    return BALL.expmap(centers, BALL.gap(centers) / 2 * spread * steps)


def cluster(rng, radius, spread, n_centers=1):
    """Points `spread` about centers at distance `radius` from the origin."""
    u = rng.normal(size=(n_centers, N_FEATURES))
    u *= radius / 2 / np.linalg.norm(u, axis=1, keepdims=True)
    centers = BALL.expmap0(u)[rng.integers(n_centers, size=N_ROWS + N_CODES)]
    return around(rng, centers, spread)


def rays(rng, radius):
    """Points at all distances up to `radius`, about 20 rays."""
    u = rng.normal(size=(20, N_FEATURES))
    u *= radius / 2 / np.linalg.norm(u, axis=1, keepdims=True)
    along = u[rng.integers(20, size=N_ROWS + N_CODES)]
    return around(rng, BALL.expmap0(rng.uniform(size=(len(along), 1)) * along), 0.3)


SETTINGS = {
    "residuals of scale 1e-4": (bulk, 1e-4),
    "residuals of scale 1e-3": (bulk, 1e-3),
    "residuals of scale 1": (bulk, 1.0),
    "radius 4, spread 0.01": (cluster, 4.0, 0.01),
    "radius 6.2, spread 0.1": (cluster, 6.2, 0.1),
    "radius 6.2, spread 0.5": (cluster, 6.2, 0.5),
    "radius 8, spread 0.1": (cluster, 8.0, 0.1),
    "radius 10, spread 0.5": (cluster, 10.0, 0.5),
    "20 clusters, radius 8, spread 0.5": (cluster, 8.0, 0.5, 20),
    "rays up to radius 10": (rays, 10.0),
}


def case(manifold, name, dtype):
    """Rows in `dtype`, and codebooks."""
    rng = np.random.default_rng(0)
    make, *options = SETTINGS[name]
    X = make(rng, *options).astype(dtype)
    X, rest = X[:N_ROWS], X[N_ROWS:].astype("float64")
    codebooks = [rest]
    for _ in range(1, N_LEVELS):
        rows = X[rng.choice(N_ROWS, size=N_CODES, replace=False)].astype("float64")
        for codes in codebooks:
            rows = subtract(manifold.c, rows, codes[nearest(manifold.c, rows, codes)])
        # near what is left of some rows, and for a few of them exactly that
        rows[8:] *= 1.0 + 1e-3 * rng.normal(size=(N_CODES - 8, 1))
        codebooks.append(rows)
    return X, codebooks


# exactness


@dtypes
@pytest.mark.parametrize("name", SETTINGS)
def test_codes_on_the_ball_are_those_of_the_twin(name, dtype):
    X, codebooks = case(BALL, name, dtype)
    codes = ResidualStack(BALL, codebooks).encode(
        X, to_points=Chart(BALL, "ball").points
    )
    expected = encode(BALL.c, X.astype("float64"), codebooks)
    assert len(np.unique(expected[:, -1])) > N_CODES / 4
    assert np.count_nonzero(codes != expected) == 0


@dtypes
@pytest.mark.parametrize("name", ["residuals of scale 1", "radius 6.2, spread 0.5"])
def test_codes_in_flat_space_are_those_of_the_twin(name, dtype):
    X, codebooks = case(FLAT, name, dtype)
    codes = ResidualStack(FLAT, codebooks).encode(X, to_points=Chart(FLAT).points)
    expected = encode(0.0, X.astype("float64"), codebooks)
    assert np.count_nonzero(codes != expected) == 0


@dtypes
@pytest.mark.parametrize("c", [0.01, 2.7])
def test_tangent_features_and_other_curvatures(c, dtype):
    ball = PoincareBall(c)
    rng = np.random.default_rng(0)
    V = rng.normal(size=(N_ROWS, N_FEATURES)).astype(dtype) / (N_FEATURES * c) ** 0.5
    Z = ball.expmap0(V.astype("float64"))
    codebooks = [Z[:N_CODES] * 0.99]
    codebooks.append(subtract(c, Z[-N_CODES:], codebooks[0]))
    codes = ResidualStack(ball, codebooks).encode(V, to_points=Chart(ball).points)
    assert_array_equal(codes, encode(c, Z, codebooks))


@manifolds
def test_rows_that_are_codes_leave_nothing(manifold):
    _, codebooks = case(manifold, "residuals of scale 1", "float64")
    codebooks[1][100] = 0.0
    codebooks[2][7] = codebooks[2][9] = 0.0
    codes = ResidualStack(manifold, codebooks).encode(codebooks[0])
    assert_array_equal(codes[:, 0], np.arange(N_CODES))
    assert_array_equal(codes[:, 1:], np.tile([100, 7], (N_CODES, 1)))


def test_points_at_the_rim_stay_inside():
    """A step that lands on the rim is scaled back, as `add` does it."""
    X, codebooks = case(BALL, "residuals of scale 1", "float64")
    X = BALL.project(1.5 * X / np.linalg.norm(X, axis=1, keepdims=True))
    stack = ResidualStack(BALL, codebooks)
    codes = stack.encode(X)
    rest = X
    for level in range(N_LEVELS):
        assert_array_equal(codes[:, level], BALL.nearest(rest, codebooks[level]))
        rest = stack.subtract(rest, level, codes[:, level])


# a pure function of the row


@manifolds
@pytest.mark.parametrize("beam_size", [1, 3])
def test_blocks_order_and_threads_do_not_count(manifold, beam_size, monkeypatch):
    X, codebooks = case(manifold, "residuals of scale 1", "float32")
    X = X[:1500]
    one, other = np.random.default_rng(1).integers(N_CODES, size=(2, 700))
    X[:700] = (codebooks[0][one] + codebooks[0][other]) / 2
    stack, points = ResidualStack(manifold, codebooks), Chart(manifold, "ball").points
    expected = stack.encode(X, beam_size, points)
    order = np.random.default_rng(2).permutation(len(X))
    assert_array_equal(stack.encode(X[order], beam_size, points), expected[order])
    for rows, threads in ((1, 1), (61, 2), (500, 3)):
        monkeypatch.setattr(stack_module, "BLOCK_ROWS", rows * beam_size)
        few = slice(0, 40 * rows)
        with threadpool_limits(threads):
            found = stack.encode(X[few], beam_size, points)
        assert_array_equal(found, expected[few])


@pytest.mark.parametrize("beam_size", [1, 2])
def test_input_is_left_alone(beam_size):
    for manifold in (BALL, FLAT):
        X, codebooks = case(manifold, "residuals of scale 1", "float64")
        kept = [a.copy() for a in (X, *codebooks)]
        ResidualStack(manifold, codebooks).encode(X, beam_size)
        for now, before in zip((X, *codebooks), kept, strict=True):
            assert_array_equal(now, before)


# a beam


def errors(stack, Z, codes):
    return stack.manifold.sq_chord(stack.decode(codes), Z)


@pytest.mark.parametrize("residual", ["exact", "paper", "tangent"])
@pytest.mark.parametrize("name", ["residuals of scale 1", "radius 4, spread 0.01"])
def test_a_beam_is_never_worse_than_greedy(name, residual):
    Z, codebooks = case(BALL, name, "float64")
    Z = Z[:600]
    stack = ResidualStack(BALL, [codes[:40] for codes in codebooks], residual)
    greedy = errors(stack, Z, stack.encode(Z))
    for beam_size in (2, 5):
        wide = errors(stack, Z, stack.encode(Z, beam_size))
        assert np.all(wide <= greedy)
        assert np.any(wide < greedy)


@manifolds
def test_a_beam_wider_than_the_codebooks(manifold):
    """It keeps all the prefixes there are: with 5 * 4 of them, it is exhaustive."""
    Z, codebooks = case(manifold, "residuals of scale 1", "float64")
    Z, sizes = Z[:50], (5, 4, 3)
    books = [codes[:size] for codes, size in zip(codebooks, sizes, strict=True)]
    stack = ResidualStack(manifold, books)
    every = np.stack(np.meshgrid(*map(np.arange, sizes)), axis=-1).reshape(-1, 3)
    best = np.min([errors(stack, Z, np.tile(code, (50, 1))) for code in every], axis=0)
    codes = stack.encode(Z, 20)
    np.testing.assert_allclose(errors(stack, Z, codes), best, rtol=1e-12)
    for beam_size in (60, 10**6):
        assert_array_equal(stack.encode(Z, beam_size), codes)


# memory


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("beam_size", [1, 8, 256])
@manifolds
def test_memory_does_not_grow_with_the_rows_or_the_beam(manifold, beam_size):
    X, codebooks = case(manifold, "residuals of scale 1", "float64")
    stack = ResidualStack(manifold, codebooks)
    rows = X[: N_ROWS // beam_size]
    assert peak_of(lambda: stack.encode(rows, beam_size)) < 1e8


@pytest.mark.parametrize(("n_features", "n_codes"), [(2000, 16), (8, 4000)])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_memory_of_wide_rows_and_long_codebooks(n_features, n_codes, beam_size):
    rng = np.random.default_rng(0)
    X = 0.1 * rng.normal(size=(500, n_features)) / n_features**0.5
    codes = 0.1 * rng.normal(size=(n_codes, n_features)) / n_features**0.5
    stack = ResidualStack(BALL, [codes, codes / 2])
    assert peak_of(lambda: stack.encode(X, beam_size)) < 1e8
