"""Logits of hyperplanes: Ganea's formula, in a form that never overflows."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.autograd import gradcheck

from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.manifolds._hyperplanes import hyperplane_logits, turn_limit

from . import reference as exact
from .strategies import CURVATURES, assert_within, law, to_numpy

mp = exact.mp
curvatures = pytest.mark.parametrize("c", CURVATURES)
KINDS = {"numpy": np.asarray, "torch": torch.from_numpy}
kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def ganea(c, x, normals, offsets, gains):
    """The logits of Ganea et al. for representatives exp0(r a), in plain NumPy."""
    s = c**0.5
    logits = np.empty((len(x), len(normals)))
    for k, (a, r, g) in enumerate(zip(normals, offsets, gains, strict=True)):
        p = np.tanh(s * r) * a / s
        for i, point in enumerate(x):
            xy, x2, p2 = -p @ point, point @ point, p @ p
            moved = (1 + 2 * c * xy + c * x2) * -p + (1 - c * p2) * point
            moved = moved / (1 + 2 * c * xy + c**2 * x2 * p2)
            sine = 2 * s * (moved @ a) / (1 - c * (moved @ moved))
            logits[i, k] = 2 * g / s * np.arcsinh(sine)
    return logits


def exact_logit(x, a, turn, g=1):
    """The same over 4, for curvature 1, in 60 digits; the plane is `turn` away."""
    p = [mp.tanh(turn / 2) * value for value in a]
    moved = exact.add(exact.negative(p), x)
    return g * mp.asinh(2 * exact.dot(moved, a) / exact.gap(moved)) / 2


def planes(n_planes, d, seed=7):
    """Unit normals, offsets of both signs and gains."""
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(n_planes, d))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals, rng.normal(size=n_planes), rng.uniform(0.5, 2, n_planes)


def drawn_planes(space, shares, reach=None):
    """Planes through the points of `shares`, of both signs, as float64."""
    tangents = to_numpy(space.tangents(shares, reach))
    offsets = np.linalg.norm(tangents, axis=1)
    anywhere = np.full_like(tangents, tangents.shape[1] ** -0.5)
    normals = np.where(
        offsets[:, None] > 0, tangents / np.maximum(offsets, 1e-300)[:, None], anywhere
    )
    signs = np.array([1.0, -1.0, 1.0])
    return signs[:, None] * normals, signs * offsets, np.array([1.0, 0.3, 5.0])


def allowed(eps, gap, turn, gains, logits):
    """What logits may err by, in units where the curvature is 1.

    ``1 - |x|^2`` errs by `eps`, and so does the product of the point and the normal:
    at a distance from the origin these are errors of ``eps / gap`` radii, times the
    slope of the distance.
    """
    cosh = np.cosh(np.clip(turn, -99, 99))
    slope = 1 + cosh / np.cosh(np.clip(2 * logits / gains, -99, 99))
    return 8 * eps * gains * ((1 + np.abs(turn)) * slope / gap + np.abs(turn))


def rounding(space, x, normals, offsets, gains):
    """The same for a space of any curvature."""
    x, s = to_numpy(x), space.scale
    logits = ganea(space.c, x, normals, offsets, gains) / 4
    gap = space.gap(x)[:, None]
    return allowed(space.eps, gap, 2 * s * offsets, gains, s * logits) / s


@law(n_sets=2)
def test_logits_are_a_quarter_of_ganeas(space, shares):
    x = space.points(shares[0], reach=4.0)
    parameters = drawn_planes(space, shares[1], reach=4.0)
    given = [to_numpy(space.array(p)) for p in parameters]
    logits = hyperplane_logits(space.ball, x, *map(space.array, parameters))
    assert str(logits.dtype).endswith(space.dtype)
    expected = ganea(space.c, to_numpy(x), *given) / 4
    textbook = 1e-11 / space.scale
    assert_within(to_numpy(logits) - expected, rounding(space, x, *given) + textbook)


@law(n_sets=1)
def test_representatives_have_logit_zero(space, shares):
    normals, offsets, gains = drawn_planes(space, shares[0])
    points = space.ball.expmap0(space.array(offsets[:, None] * normals))
    parameters = [space.array(p) for p in (normals, offsets, gains)]
    logits = np.diagonal(to_numpy(hyperplane_logits(space.ball, points, *parameters)))
    error = rounding(space, points, normals, offsets, gains)
    assert_within(logits, 2 * np.diagonal(error))


@law(n_sets=2)
def test_the_sign_is_that_of_the_side(space, shares):
    """Of two points that mirror each other in the plane, the nearer one."""
    x = space.points(shares[0], reach=4.0)
    normals, offsets, gains = drawn_planes(space, shares[1], reach=4.0)
    logits = to_numpy(
        hyperplane_logits(space.ball, x, *map(space.array, (normals, offsets, gains)))
    )
    ball, x = space.ball, to_numpy(x)
    foot = ball.expmap0(offsets[:, None] * normals)
    ahead, behind = (
        ball.add(foot, ball.expmap0(sign * normals / space.scale))
        for sign in (0.5, -0.5)
    )
    lead = ball.pairwise_dist(x, behind) - ball.pairwise_dist(x, ahead)
    clear = np.abs(lead) * space.scale > 1e3 * space.eps
    assert_array_equal(np.sign(logits)[clear], np.sign(lead)[clear])


def test_the_sides_are_both_seen():
    rng = np.random.default_rng(0)
    x = PoincareBall().expmap0(rng.normal(size=(50, 3)))
    normals, offsets, gains = planes(4, 3)
    logits = hyperplane_logits(PoincareBall(), x, normals, offsets / 3, gains)
    assert np.all((logits > 0.1).any(axis=0) & (logits < -0.1).any(axis=0))


@curvatures
@kinds
def test_a_point_along_the_normal_lies_as_far_away_as_it_was_moved(c, kind):
    ball, (normals, offsets, gains) = PoincareBall(c), planes(5, 3)
    x = ball.expmap0((offsets + 0.7)[:, None] * normals)
    arrays = map(KINDS[kind], (x, normals, offsets, gains))
    logits = np.diagonal(to_numpy(hyperplane_logits(ball, *arrays)))
    assert_allclose(logits, 0.7 * gains, rtol=1e-9 * np.exp(6 * c**0.5))


@curvatures
def test_geoopt_agrees(c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import geoopt

        peer = geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64))
    normals, offsets, gains = planes(4, 3)
    offsets = offsets / c**0.5 / 2
    v = np.random.default_rng(1).normal(size=(20, 3)) / c**0.5 / 2
    x = PoincareBall(c).expmap0(v)
    feet = PoincareBall(c).expmap0(offsets[:, None] * normals)
    x_, feet_, normals_ = map(torch.from_numpy, (x[:, None], feet, normals))
    distance = peer.dist2plane(x_, feet_, normals_, signed=True).numpy()
    logits = hyperplane_logits(PoincareBall(c), x, normals, offsets, gains)
    assert_allclose(logits, gains * distance / 2, rtol=1e-9, atol=1e-12)


@kinds
def test_flat_space_and_the_flat_limit(kind):
    x = np.random.default_rng(0).normal(size=(2, 7, 3))
    normals, offsets, gains = planes(4, 3)
    arrays = [KINDS[kind](a) for a in (x, normals, offsets, gains)]
    expected = gains * (x @ normals.T - offsets)
    flat = to_numpy(hyperplane_logits(Euclidean(), *arrays))
    assert_allclose(flat, expected, rtol=0, atol=1e-14)
    near = to_numpy(hyperplane_logits(PoincareBall(1e-12), *arrays))
    assert_allclose(near, expected, rtol=0, atol=1e-9)
    curved = to_numpy(hyperplane_logits(PoincareBall(1e-2), *arrays))
    assert np.abs(curved - expected).max() > 1e-3


@curvatures
@dtypes
def test_numpy_and_torch_agree(c, dtype):
    x = PoincareBall(c).expmap0(np.random.default_rng(0).normal(size=(6, 3)) / c**0.5)
    normals, offsets, gains = planes(4, 3)
    arrays = [a.astype(dtype) for a in (x, normals, offsets / c**0.5, gains)]
    ours = hyperplane_logits(PoincareBall(c), *arrays)
    theirs = hyperplane_logits(PoincareBall(c), *map(torch.from_numpy, arrays))
    assert ours.dtype == dtype
    assert theirs.dtype == getattr(torch, dtype)
    scale = np.finfo(dtype).eps * np.exp(12) / c**0.5
    assert_allclose(theirs.numpy(), ours, rtol=0, atol=scale)


@curvatures
def test_gradients(c):
    v = np.random.default_rng(0).normal(size=(5, 3)) / c**0.5 / 2
    normals, offsets, gains = planes(4, 3)
    offsets[0] = 0.0
    arrays = (PoincareBall(c).expmap0(v), normals, offsets / c**0.5, gains)
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    assert gradcheck(lambda *a: hyperplane_logits(PoincareBall(c), *a), tensors)


# far away

# dtype, distance of the point from the rim, radii of curvature to the plane
FAR = [
    (dtype, rim, turn)
    for dtype, rims, turns in (
        ("float32", (0.5, 1e-2, 1e-4), (0.5, -4.0, 10.0, 25.4, 25.6, -80.0, 1e9)),
        ("float64", (0.5, 1e-4, 1e-10), (0.5, -9.0, 25.0, 57.6, 57.7, -800.0, 1e100)),
    )
    for rim in rims
    for turn in turns
]


@kinds
@pytest.mark.parametrize(("dtype", "rim", "turn"), FAR)
def test_points_near_the_rim_and_planes_far_away(kind, dtype, rim, turn):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3))
    x *= (1 - rim) / np.linalg.norm(x, axis=1, keepdims=True)
    x, eps = x.astype(dtype), np.finfo(dtype).eps
    a = np.array([[0.6, 0.0, 0.8]], dtype=dtype)
    a /= np.linalg.norm(a)
    r, g = np.array([turn / 2], dtype=dtype), np.array([3.0], dtype=dtype)
    logits = to_numpy(
        hyperplane_logits(PoincareBall(), *(KINDS[kind](v) for v in (x, a, r, g)))
    )[:, 0]
    turn = 2 * float(r[0])
    # of a distance beyond 100 all but the exponential has gone
    near = float(np.clip(turn, -100, 100))
    expected = (
        np.array(
            [
                float(exact_logit(exact.vector(point), unit(a[0]), near, 3))
                for point in x
            ]
        )
        - 3 * (turn - near) / 2
    )
    gap = 1 - np.sum(x.astype(np.float64) ** 2, axis=1)
    assert_within(logits - expected, allowed(eps, gap, turn, 3, expected))


def unit(a):
    """A rounded unit vector, in 60 digits."""
    a = exact.vector(a)
    return exact.scaled(1 / exact.norm(a), a)


@kinds
@dtypes
def test_no_offset_overflows(kind, dtype):
    """Textbook logits are nan from an offset of 45 in float32, and 355 in float64."""
    x = PoincareBall().expmap0(np.random.default_rng(0).normal(size=(9, 3)))
    offsets = np.r_[0.0, np.geomspace(1, 0.01 * np.finfo(dtype).max, 60)]
    normals = np.tile([[0.6, 0.0, 0.8]], (len(offsets), 1))
    arrays = (x, normals, offsets, np.full(len(offsets), 1e-3))
    arrays = [KINDS[kind](v.astype(dtype)) for v in arrays]
    logits = to_numpy(hyperplane_logits(PoincareBall(), *arrays))
    assert np.isfinite(logits).all()
    assert np.all(np.diff(logits, axis=1) < 0)
    arrays[1], arrays[2] = -arrays[1], -arrays[2]
    assert_array_equal(hyperplane_logits(PoincareBall(), *arrays), -logits)


@dtypes
def test_gains_that_vanish_leave_the_logit_of_the_origin(dtype):
    """Planes at ever larger distances with ever smaller gains: logits tend to b."""
    x = PoincareBall().expmap0(np.random.default_rng(0).normal(size=(9, 3)))
    gains = np.array([1e-6, 1e-12, 1e-30])
    normals = np.tile([[0.6, 0.0, 0.8]], (3, 1))
    arrays = [v.astype(dtype) for v in (x, normals, -1.5 / gains, gains)]
    logits = hyperplane_logits(PoincareBall(), *arrays)
    assert_allclose(logits, 1.5, atol=1e-5, rtol=1e-6)


@dtypes
def test_the_limit_fits_the_dtype(dtype):
    """Also squared, which is what the gradient of asinh takes."""
    limit, info = turn_limit(np, np.zeros(1, dtype)), np.finfo(dtype)
    farthest = 2 / info.eps * np.exp(limit)
    assert farthest**2 < info.max
    # what is left of the sine for the least favourable point is still an exponential
    assert (np.exp(limit) * info.eps / 8) ** -2 < 4 * info.eps


@dtypes
@pytest.mark.parametrize("turn", [0.3, -3.0, 20.0, 300.0])
@pytest.mark.parametrize("rim", [0.0, 1e-7, 1e-3])
def test_gradients_near_the_rim_are_finite_and_do_not_vanish(dtype, turn, rim):
    x = np.random.default_rng(0).normal(size=(9, 3))
    x *= (1 - rim) / np.linalg.norm(x, axis=1, keepdims=True)
    parameters = ([[0.6, 0.0, 0.8]], [turn / 2], [2.0])
    arrays = [
        torch.tensor(v, dtype=getattr(torch, dtype), requires_grad=True)
        for v in (x, *parameters)
    ]
    logits = hyperplane_logits(PoincareBall(), *arrays)
    assert torch.isfinite(logits).all()
    for row in range(len(x)):
        grads = torch.autograd.grad(logits[row, 0], arrays, retain_graph=True)
        assert all(torch.isfinite(grad).all() for grad in grads)
        assert all(torch.count_nonzero(grad) for grad in grads[1:])
        if abs(turn) == 300:
            torch.testing.assert_close(grads[2].item(), -2.0)


@curvatures
def test_short_normals_belong_to_a_space_with_one_more_dimension(c):
    ball, (normals, offsets, gains) = PoincareBall(c), planes(4, 4)
    offsets = offsets / c**0.5
    x = ball.expmap0(np.random.default_rng(1).normal(size=(8, 3)) / c**0.5)
    short = hyperplane_logits(ball, x, normals[:, :3], offsets, gains)
    wide = np.column_stack([x, np.zeros(len(x))])
    whole = hyperplane_logits(ball, wide, normals, offsets, gains)
    assert_allclose(short, whole, rtol=1e-10)


@pytest.mark.parametrize("d", [1, 3, 8, 70])
@pytest.mark.parametrize("n_planes", [1, 2, 5])
@dtypes
def test_logits_of_arrays_are_pure_functions_of_each_row(d, n_planes, dtype):
    x = PoincareBall().expmap0(np.random.default_rng(0).normal(size=(400, d)) / d**0.5)
    arrays = [v.astype(dtype) for v in (x, *planes(n_planes, d))]
    expected = hyperplane_logits(PoincareBall(), *arrays)
    x, parameters = arrays[0], arrays[1:]
    for rows in (1, 2, 3, 17, 255, 256, 257):
        for part in (slice(rows), slice(-rows, None)):
            found = hyperplane_logits(PoincareBall(), x[part], *parameters)
            assert found.tobytes() == expected[part].tobytes()
    alone = [hyperplane_logits(PoincareBall(), row[None], *parameters) for row in x]
    assert np.concatenate(alone).tobytes() == expected.tobytes()
