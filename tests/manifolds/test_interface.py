"""What goes in and what comes out: kinds, dtypes, shapes, messages."""

import inspect

import numpy as np
import pytest
import torch

from skhyper import manifolds
from skhyper.manifolds import (
    Euclidean,
    Lorentz,
    PoincareBall,
    klein_to_poincare,
    lorentz_to_poincare,
    poincare_to_klein,
    poincare_to_lorentz,
)

from .strategies import to_numpy

BALL, SHEET, FLAT = PoincareBall(0.5), Lorentz(0.5), Euclidean()

# operations on points with 3 coordinates, and the shapes of their results
ONE = {"gap": (1,), "project": (3,), "expmap0": (3,), "logmap0": (3,)}
TWO = {
    "sq_chord": (),
    "sq_half_dist": (),
    "dist": (),
    "add": (3,),
    "expmap": (3,),
    "logmap": (3,),
}
THREE = {"gyration": (3,), "transport": (3,)}
MEANS = ("midpoint", "frechet_mean")

kinds = pytest.mark.parametrize(
    ("kind", "dtype"),
    [(kind, dtype) for kind in ("numpy", "torch") for dtype in ("float32", "float64")],
)
flat_and_curved = pytest.mark.parametrize("manifold", [BALL, FLAT], ids=str)


def points(*shape, kind="numpy", dtype="float64", seed=0):
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, size=shape).astype(dtype)
    return x if kind == "numpy" else torch.from_numpy(x)


def assert_like(result, x, shape):
    assert type(result) is type(x)
    assert result.dtype == x.dtype
    assert tuple(result.shape) == shape


# kinds, dtypes and shapes


@kinds
@flat_and_curved
def test_kind_and_dtype_come_back_and_leading_axes_broadcast(manifold, kind, dtype):
    x, y, v = (
        points(*shape, 3, kind=kind, dtype=dtype) for shape in [(4, 1), (5,), (2, 1, 1)]
    )
    for name, tail in ONE.items():
        assert_like(getattr(manifold, name)(x), x, (4, 1, *tail))
    for name, tail in TWO.items():
        assert_like(getattr(manifold, name)(x, y), x, (4, 5, *tail))
    for name, tail in THREE.items():
        assert_like(getattr(manifold, name)(x, y, v), x, (2, 4, 5, *tail))
    for name in MEANS:
        X = points(2, 6, 3, kind=kind, dtype=dtype)
        assert_like(getattr(manifold, name)(X), X, (2, 3))
        assert_like(getattr(manifold, name)(X, np.ones(6)), X, (2, 3))
        assert_like(getattr(manifold, name)(X, [[1] * 6, [2] * 6]), X, (2, 3))
    sums = manifold.centroid_from_sums(X.sum(-2), 6 + X[..., 0, :1])
    assert_like(sums, X, (2, 3))


@kinds
def test_lorentz_and_conversions_give_back_kind_and_dtype(kind, dtype):
    x = points(2, 5, 3, kind=kind, dtype=dtype)
    lifted = poincare_to_lorentz(x, 0.5)
    assert_like(lifted, x, (2, 5, 4))
    assert_like(lorentz_to_poincare(lifted, 0.5), x, (2, 5, 3))
    assert_like(poincare_to_klein(x, 0.5), x, (2, 5, 3))
    assert_like(klein_to_poincare(x, 0.5), x, (2, 5, 3))
    assert_like(SHEET.expmap0(x), x, (2, 5, 4))
    assert_like(SHEET.logmap0(lifted), x, (2, 5, 3))
    assert_like(SHEET.project(lifted), x, (2, 5, 4))
    assert_like(SHEET.dist(lifted, lifted[:, :1]), x, (2, 5))
    assert_like(SHEET.pairwise_dist(lifted, lifted[:, :2]), x, (2, 5, 2))
    assert_like(SHEET.midpoint(lifted, [1, 2, 3, 4, 5]), x, (2, 4))


@flat_and_curved
def test_broadcasting_is_the_same_as_a_loop(manifold):
    x, y, v = points(4, 1, 3), points(5, 3, seed=1), points(4, 5, 3, seed=2)
    for name in (*TWO, *THREE):
        method = getattr(manifold, name)
        arrays = (x, y, v) if name in THREE else (x, y)
        whole = method(*arrays)
        for i in range(4):
            for k in range(5):
                row = (x[i, 0], y[k], v[i, k])[: len(arrays)]
                np.testing.assert_allclose(whole[i, k], method(*row), rtol=1e-12)
    X, weights = points(3, 6, 3), np.random.default_rng(0).uniform(size=(3, 6))
    for name in MEANS:
        loop = [getattr(manifold, name)(*row) for row in zip(X, weights, strict=True)]
        whole = getattr(manifold, name)(X, weights)
        np.testing.assert_allclose(whole, loop, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@flat_and_curved
def test_numpy_and_torch_give_the_same_numbers(manifold, dtype):
    x, y, v = (points(6, 3, dtype=dtype, seed=seed) for seed in range(3))
    calls = [
        *((name, (x,)) for name in (*ONE, *MEANS)),
        *((name, (x, y)) for name in (*TWO, "pairwise_dist")),
        *((name, (x, y, v)) for name in THREE),
    ]
    rtol = 20 * np.finfo(dtype).eps
    for name, arrays in calls:
        ours = getattr(manifold, name)(*arrays)
        theirs = getattr(manifold, name)(*(torch.from_numpy(a) for a in arrays))
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=rtol, atol=rtol)


@flat_and_curved
def test_lists_and_integers_are_taken_as_float64(manifold):
    distance = manifold.dist([0, 0], [0.25, 0])
    assert distance.dtype == np.float64
    np.testing.assert_array_equal(
        distance, manifold.dist(np.zeros(2), np.array([0.25, 0.0]))
    )
    assert manifold.midpoint([[0, 0], [0, 0]], [1, 2]).dtype == np.float64
    integers = torch.zeros(2, 2, dtype=torch.int64)
    assert manifold.expmap0(integers).dtype == torch.float64
    np.testing.assert_array_equal(manifold.nearest([[0], [1]], [[1], [0]]), [1, 0])


@kinds
@flat_and_curved
def test_pairwise_distances_are_the_distances_of_the_pairs(manifold, kind, dtype):
    X, Y = (points(n, 3, kind=kind, dtype=dtype, seed=n) for n in (7, 5))
    found = manifold.pairwise_dist(X, Y)
    assert_like(found, X, (7, 5))
    expected = manifold.dist(X[:, None], Y)
    rtol = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=rtol)
    square = to_numpy(manifold.pairwise_dist(X, X))
    np.testing.assert_array_equal(square, square.T)
    assert np.all(square.diagonal() == 0.0)
    stacked = manifold.pairwise_dist(X[None, :3], Y[None])
    np.testing.assert_allclose(to_numpy(stacked)[0], to_numpy(found)[:3], rtol=rtol)


# values


def test_published_values():
    ball = PoincareBall()
    assert ball.dist([0.5, 0.5], [0.5, -0.5]) == pytest.approx(2.887270927429199)
    found = ball.logmap([0.3, 0.3], [0.3, 0.5])
    np.testing.assert_allclose(found, [-0.01733576, 0.21958634], atol=1e-8)
    assert ball.dist([0.0], [0.5]) == pytest.approx(np.log(3))


@flat_and_curved
def test_projection_returns_the_values_of_points_inside(manifold):
    x = points(10, 3)
    np.testing.assert_array_equal(manifold.project(x), x)


def test_frechet_mean_obeys_its_stopping_rule():
    X = BALL.expmap0(5 * points(6, 2))
    start = BALL.midpoint(X)
    np.testing.assert_array_equal(BALL.frechet_mean(X, max_iter=0), start)
    once = BALL.frechet_mean(X, max_iter=1)
    assert BALL.dist(once, start) > 0
    np.testing.assert_array_equal(BALL.frechet_mean(X, tol=np.inf), once)
    full = BALL.frechet_mean(X)
    assert BALL.dist(once, full) > 1e-6
    assert BALL.dist(BALL.frechet_mean(X, max_iter=500, tol=0.0), full) < 1e-14


# refusals


@pytest.mark.parametrize(
    "c", [0, -1.0, np.nan, np.inf, -np.inf, "1", None, 1j, [1.0], np.ones(2)]
)
@pytest.mark.parametrize(
    "use",
    [
        PoincareBall,
        Lorentz,
        lambda c: poincare_to_lorentz([0.1], c),
        lambda c: lorentz_to_poincare([1.0, 0.0], c),
        lambda c: poincare_to_klein([0.1], c),
        lambda c: klein_to_poincare([0.1], c),
    ],
)
def test_a_curvature_that_is_none_is_refused(use, c):
    with pytest.raises(ValueError, match=r"curvature must be .* above 0, got"):
        use(c)


@pytest.mark.parametrize("c", [2, np.float32(2), np.int64(2), np.float64(2)])
def test_any_real_number_is_a_curvature(c):
    assert PoincareBall(c).c == 2.0
    assert type(PoincareBall(c).c) is float


@pytest.mark.parametrize("name", MEANS)
@flat_and_curved
def test_sample_weight_of_the_wrong_length_is_refused(manifold, name):
    with pytest.raises(ValueError, match="sample_weight has length 3, but X has 4"):
        getattr(manifold, name)(points(4, 2), np.ones(3))
    with pytest.raises(ValueError, match="sample_weight has length 3, but X has 4"):
        SHEET.midpoint(SHEET.expmap0(points(4, 2)), np.ones(3))


@pytest.mark.parametrize("asarray", [list, np.asarray, torch.tensor])
def test_points_outside_the_ball_are_named(asarray):
    ball = PoincareBall(c=0.25)
    X = [[0.0, 1.9], [2.5, 0.0], [0.1, 0.1], [0.0, float("nan")]]
    ball.check_points(asarray(X[:1]))
    message = r"Z has 2 of 4 points .* 0\.25: row 1 has norm 2\.5, the radius is 2"
    with pytest.raises(ValueError, match=message):
        ball.check_points(asarray(X), "Z")
    with pytest.raises(ValueError, match="row 0 has norm 2"):
        ball.check_points(asarray([[2.0, 0.0]]))
    with pytest.raises(ValueError, match="row 0 has norm inf"):
        ball.check_points(asarray([[float("inf"), 0.0]]))


def test_points_of_a_training_graph_can_be_checked():
    x = torch.full((2, 2), 0.1, requires_grad=True)
    BALL.check_points(x)
    with pytest.raises(ValueError, match="2 of 2 points"):
        BALL.check_points(x + 5)


@pytest.mark.parametrize("asarray", [list, np.asarray, torch.tensor])
def test_points_off_the_sheet_are_named(asarray):
    X = Lorentz(2.0).expmap0(points(4, 3))
    Lorentz(2.0).check_points(asarray(X.tolist()))
    Lorentz(2.0).check_points(X.astype("float32"))
    for wrong in (-X, X[:, ::-1], 1.1 * X, X * np.nan):
        with pytest.raises(
            ValueError, match=r"X has 4 of 4 points off the sheet .*-1/2: row 0"
        ):
            Lorentz(2.0).check_points(asarray(wrong.tolist()))
    with pytest.raises(ValueError, match="row 0 has time coordinate"):
        Lorentz(1.0).check_points(asarray(X.tolist()))


def test_flat_space_has_no_outside():
    FLAT.check_points([[1e30, 0.0]], "Z")


# names


def test_reprs_are_constructor_calls():
    assert repr(PoincareBall(2.5)) == "PoincareBall(c=2.5)"
    assert repr(PoincareBall()) == "PoincareBall(c=1)"
    assert repr(Lorentz(0.01)) == "Lorentz(c=0.01)"
    assert repr(Euclidean()) == "Euclidean()"


def test_flat_space_has_the_methods_of_the_ball():
    def interface(cls):
        methods = inspect.getmembers(cls, inspect.isfunction)
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in methods
            if not name.startswith("_")
        }

    assert interface(Euclidean) == interface(PoincareBall)
    assert Euclidean().c == 0.0


def test_public_names():
    assert set(manifolds.__all__) == {
        "Euclidean",
        "Lorentz",
        "PoincareBall",
        "klein_to_poincare",
        "lorentz_to_poincare",
        "poincare_to_klein",
        "poincare_to_lorentz",
    }
    assert all(hasattr(manifolds, name) for name in manifolds.__all__)
