"""Bugs that other hyperbolic libraries have had, each kept out by a named test."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from skhyper.manifolds import (
    Lorentz,
    PoincareBall,
    klein_to_poincare,
    lorentz_to_poincare,
    poincare_to_klein,
    poincare_to_lorentz,
)

from .strategies import CURVATURES, SPACES, to_numpy

spaces = pytest.mark.parametrize("space", SPACES, ids=str)


def sphere(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# projection


@spaces
def test_projection_leaves_interior_points_of_a_mixed_batch_untouched(space):
    """One point outside must not move the others, not even in the last bit."""
    radii = np.r_[0.0, 1e-9, np.linspace(0.1, 0.999, 8), 1 - 1e-6, 1.0, 1.5, 1e6]
    x = space.array(radii[:, None] / space.scale * sphere(len(radii), 5))
    inside = radii < 0.9999995
    np.testing.assert_array_equal(
        to_numpy(space.ball.project(x))[inside], to_numpy(x)[inside]
    )


@spaces
@pytest.mark.parametrize("d", [1, 2, 32, 768])
def test_projection_scales_radially_and_lands_inside(space, d):
    """Subtracting eps per coordinate leaves points with negative ones outside."""
    ball = space.ball
    x = space.array(np.geomspace(1.0, 1e6, 200)[:, None] / space.scale * sphere(200, d))
    projected = ball.project(x)
    ball.check_points(projected)
    assert np.all(space.c * np.sum(to_numpy(projected) ** 2, axis=1) < 1.0)
    np.testing.assert_array_equal(
        to_numpy(ball.project(projected)), to_numpy(projected)
    )
    length = np.linalg.norm(to_numpy(x), axis=1, keepdims=True)
    direction = to_numpy(projected) * space.scale - to_numpy(x) / length
    assert np.abs(direction).max() <= 6 * space.eps


@spaces
def test_far_points_of_other_models_land_inside(space):
    """At radius 40 the ball coordinates round to the rim: a guard has to follow."""
    v = space.array(40.0 / space.scale * sphere(50, 5))
    space.ball.check_points(lorentz_to_poincare(space.sheet.expmap0(v), space.c))
    space.ball.check_points(space.ball.expmap0(v))
    space.ball.check_points(
        space.ball.add(space.ball.expmap0(v), space.ball.expmap0(v))
    )
    space.ball.check_points(
        klein_to_poincare(poincare_to_klein(space.ball.expmap0(v), space.c), space.c)
    )


# arguments and constructor


@spaces
def test_no_method_writes_into_its_arguments(space):
    x, y, v = (space.array(0.3 / space.scale * sphere(4, 3, seed)) for seed in range(3))
    X = x + 10.0  # far outside, so that the projection has work to do
    weights = np.ones(4)
    before = [to_numpy(a).copy() for a in (x, y, v, X, weights)]
    if space.kind == "numpy":
        for a in (x, y, v, X, weights):
            a.flags.writeable = False
    ball, sheet = space.ball, space.sheet
    for name in ("gap", "project", "expmap0", "logmap0"):
        getattr(ball, name)(X)
    for name in (
        "dist",
        "sq_chord",
        "sq_half_dist",
        "add",
        "expmap",
        "logmap",
        "pairwise_dist",
        "nearest",
    ):
        getattr(ball, name)(x, y)
    for name in ("gyration", "transport"):
        getattr(ball, name)(x, y, v)
    for name in ("midpoint", "frechet_mean"):
        getattr(ball, name)(x, weights)
    lifted = poincare_to_lorentz(x, space.c)
    sheet.midpoint(lifted, weights)
    sheet.project(lifted)
    sheet.dist(lifted, lifted)
    after = [to_numpy(a) for a in (x, y, v, X, weights)]
    for a, b in zip(after, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("c", [1e-8, 1e3])
def test_extreme_curvatures_are_accurate_in_float32(c, kind):
    """A softplus or exp parametrisation of c rounds it to 0, to inf, or 5 % off."""
    ball = PoincareBall(c)
    assert ball.c == c
    radius = np.linspace(0.01, 4.0, 40)[:, None]  # in radii of curvature
    v = (radius / 2 / c**0.5 * sphere(40, 3)).astype("float32")
    v = torch.from_numpy(v) if kind == "torch" else v
    x = ball.expmap0(v)
    distance = to_numpy(ball.dist(0 * x, x))
    np.testing.assert_allclose(distance, radius[:, 0] / c**0.5, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(ball.logmap0(x)), to_numpy(v), rtol=1e-5)
    y = ball.add(-x, x[[*range(1, 40), 0]])
    assert np.isfinite(to_numpy(y)).all()
    np.testing.assert_allclose(
        to_numpy(ball.dist(0 * y, y)),
        to_numpy(ball.dist(x, x[[*range(1, 40), 0]])),
        rtol=1e-4,
    )
    assert np.isfinite(to_numpy(ball.frechet_mean(x))).all()


@spaces
def test_conformal_factor_of_points_longer_than_one(space):
    """The ball has radius ``1 / sqrt(c)``: |x|^2 must not be clamped at 1."""
    x = space.array([[0.9 / space.scale, 0.0]])
    assert to_numpy(space.ball.gap(x)) == pytest.approx(1 - 0.81, rel=10 * space.eps)
    assert to_numpy(space.ball.gap(x)).shape == (1, 1)


# gradients that vanish


@pytest.mark.parametrize("c", CURVATURES)
def test_codes_at_the_origin_receive_a_gradient(c):
    """Clamping the norm inside expmap0 or logmap0 makes it 0: codes never move."""
    ball = PoincareBall(c)
    x = torch.tensor([0.3, -0.2]) / c**0.5
    v = torch.zeros(2, requires_grad=True)
    ball.sq_half_dist(x, ball.expmap0(v)).backward()
    torch.testing.assert_close(v.grad, -2 * ball.logmap0(x))
    q = torch.zeros(2, requires_grad=True)
    ball.sq_half_dist(x, q).backward()
    torch.testing.assert_close(q.grad, -2 * ball.logmap0(x))
    X = torch.zeros(3, 2, requires_grad=True)
    ball.midpoint(X).sum().backward()
    torch.testing.assert_close(X.grad, torch.full((3, 2), 1 / 3))


def test_points_beyond_radius_six_keep_their_radial_gradient_in_float32():
    """A clip at ``1 - 4e-3`` gives 0 for every tangent vector longer than 3.1."""
    v = torch.tensor([[3.5, 0.0], [5.0, 0.0], [7.0, 0.0]], requires_grad=True)
    PoincareBall().expmap0(v).sum().backward()
    expected = 1 / torch.cosh(v.detach()[:, 0]) ** 2
    torch.testing.assert_close(v.grad[:, 0], expected, rtol=0.1, atol=0)


# distances


@pytest.mark.parametrize("asarray", [np.asarray, torch.asarray])
def test_distance_of_near_antipodal_points_is_finite_in_float32(asarray):
    """The inverse tangent of a Moebius difference that rounds to 1 is infinite."""
    x = asarray(np.array([0.9999, 0.0], dtype="float32"))
    assert float(PoincareBall().dist(x, -x)) == pytest.approx(19.807, abs=2e-3)
    length = float((PoincareBall().logmap(x, -x) ** 2).sum() ** 0.5)
    assert 2 * length / float(PoincareBall().gap(x)[0]) == pytest.approx(
        19.807, abs=0.01
    )


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("scale", [1e-3, 1e-4, 1e-6])
def test_codes_closer_than_a_clamp_are_told_apart(scale, kind):
    """``acosh`` clamped at ``1 + 1e-5`` ties all below 0.0045, and index 0 wins."""
    codes = (scale * sphere(16, 8)).astype("float32")
    X = codes + (0.05 * scale * sphere(16, 8, seed=1)).astype("float32")
    if kind == "torch":
        codes, X = torch.from_numpy(codes), torch.from_numpy(X)
    np.testing.assert_array_equal(PoincareBall().nearest(X, codes), np.arange(16))


@pytest.mark.parametrize("separation", [1e-6, 1e-8, 1e-9, 1e-12])
def test_distances_of_close_points_keep_their_digits(separation):
    """``acosh(1 + t)`` is 5 % off at 1e-8, and 0 from 1e-9 on."""
    x = np.array([0.5, 0.0])
    y = np.array([0.5, separation])
    expected = 2 * separation / 0.75
    assert PoincareBall().dist(x, y) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rim", "expected"), [(1e-5, 12.2061), (1e-8, 19.1138), (1e-12, 28.3242)]
)
def test_distances_do_not_saturate_at_a_clip(rim, expected):
    """Clips at 1e-5 and in norms squared cap distances at 12.2 or 15.2."""
    x = np.array([1 - rim, 0.0])
    assert PoincareBall().dist(0 * x, x) == pytest.approx(expected, rel=1e-5)
    assert PoincareBall().dist(-x, x) == pytest.approx(2 * expected, rel=1e-5)


def test_moebius_denominator_has_no_bias():
    """A denominator plus 1e-5 bends every sum."""
    x, y = np.array([1e-3, 0.0]), np.array([-1e-3 + 1e-12, 0.0])
    expected = (x + y) / (1 + x * y)
    np.testing.assert_allclose(PoincareBall().add(x, y), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("c", CURVATURES)
def test_tiny_tangent_vectors_survive_the_round_trip_in_float32(c):
    """Norms clamped at 1e-15 or 1e-5 turn vectors below 1e-8 into 0."""
    for length in (1e-6, 1e-8, 1e-12, 1e-18):
        u = (length * sphere(20, 4)).astype("float32")
        np.testing.assert_allclose(
            PoincareBall(c).logmap0(PoincareBall(c).expmap0(u)), u, rtol=3e-7
        )
        np.testing.assert_allclose(
            Lorentz(c).logmap0(Lorentz(c).expmap0(u)), u, rtol=3e-7
        )


# other models


def test_poincare_to_klein_moves_points_outwards():
    """The inverse map is easily taken for it: .5 goes to .8, not to .268."""
    assert poincare_to_klein([0.5])[0] == pytest.approx(0.8)
    assert klein_to_poincare([0.8])[0] == pytest.approx(0.5)
    # K = 1 hides a wrong scale
    assert poincare_to_klein([1.0], c=0.25)[0] == pytest.approx(1.6)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("radius", [1e-6, 1.0, 5.0, 11.0, 16.0])
def test_lorentz_points_satisfy_the_constraint(c, radius):
    """An eps in the denominator gave <X, X> = -0.907 at 1e-5 from the rim."""
    sheet = Lorentz(c)
    v = radius / c**0.5 * sphere(50, 4)
    x = PoincareBall(c).expmap0(v / 2)
    for point in (
        sheet.expmap0(v),
        poincare_to_lorentz(x, c),
        sheet.project(sheet.expmap0(v) + 0.1),
        sheet.midpoint(sheet.expmap0(v)[:, None]),
    ):
        inner = np.sum(point[:, 1:] ** 2, axis=1) - point[:, 0] ** 2
        assert np.all(np.abs(inner + 1 / c) <= 1e-12 * point[:, 0] ** 2)
        assert np.all(point[:, 0] > 0)
        sheet.check_points(point)
    np.testing.assert_allclose(
        sheet.dist(sheet.expmap0(v), poincare_to_lorentz(x, c)),
        0,
        atol=1e-15 * np.exp(radius) / c**0.5 + 1e-12,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_asinh_is_odd_for_large_arguments(dtype):
    """``log(x + sqrt(1 + x^2))`` gives -34.5 instead of -9.9 at -1e4 in float32."""
    for v in (0.1, 9.9, 30.0):
        x = np.array([[v, 0.0]], dtype=dtype)
        ahead, behind = (Lorentz().logmap0(Lorentz().expmap0(s * x)) for s in (1, -1))
        np.testing.assert_array_equal(behind, -ahead)
        np.testing.assert_allclose(behind, -x, rtol=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_frechet_mean_is_finite_at_radius_sixteen(kind):
    """Averaging in a fixed chart gives nan there."""
    x = PoincareBall().expmap0(8.0 * sphere(20, 3))
    x = torch.from_numpy(x) if kind == "torch" else x
    mean = PoincareBall().frechet_mean(x)
    logs = PoincareBall().logmap(mean, x) / PoincareBall().gap(mean)
    assert np.linalg.norm(to_numpy(logs).mean(axis=0)) <= 1e-9


# the package


def test_import_is_silent_and_light():
    """No warning under -W error, and no torch or geoopt behind the user's back."""
    code = (
        "import sys, skhyper.manifolds as m; m.PoincareBall().dist([0.1], [0.2]);"
        "assert not {'torch', 'geoopt'} & set(sys.modules), 'heavy import'"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
