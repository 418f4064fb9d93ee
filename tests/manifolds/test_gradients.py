"""Gradients through torch: right everywhere, and finite where formulas are singular."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

from skhyper.manifolds import (
    Lorentz,
    PoincareBall,
    klein_to_poincare,
    lorentz_to_poincare,
    poincare_to_klein,
    poincare_to_lorentz,
)

CURVATURES = [0.3, 1.0, 2.7]
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 1.0], dtype=torch.float64)

# the operations, and how many arrays each takes
BALL_OPS = {
    "gap": 1,
    "project": 1,
    "expmap0": 1,
    "logmap0": 1,
    "expmap": 2,
    "logmap": 2,
    "add": 2,
    "dist": 2,
    "pairwise_dist": 2,
    "sq_chord": 2,
    "sq_half_dist": 2,
    "gyration": 3,
    "transport": 3,
    "midpoint": 1,
    "frechet_mean": 1,
}
# those that are smooth also where all points coincide, and where all are 0
SMOOTH = [name for name in BALL_OPS if not name.endswith("dist") or "sq" in name]
curvatures = pytest.mark.parametrize("c", CURVATURES)


def inside(c, n_arrays, reach=1.5, seed=0):
    """Arrays (4, 3) of points no farther than `reach` from the origin."""
    v = torch.from_numpy(np.random.default_rng(seed).normal(size=(n_arrays, 4, 3)))
    v = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True).max()
    return [
        x.clone().requires_grad_()
        for x in PoincareBall(c).expmap0(v * reach / c**0.5 / 2)
    ]


@curvatures
@pytest.mark.parametrize("name", BALL_OPS)
def test_gradients_on_the_ball(name, c):
    assert gradcheck(getattr(PoincareBall(c), name), inside(c, BALL_OPS[name]))


@curvatures
@pytest.mark.parametrize("name", ["midpoint", "frechet_mean"])
def test_gradients_of_means_with_respect_to_the_weights(name, c):
    X, weights = inside(c, 1)[0], WEIGHTS.clone().requires_grad_()
    assert gradcheck(getattr(PoincareBall(c), name), (X, weights))


@curvatures
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("place", ["coincident", "origin"])
def test_gradients_where_the_operation_is_smooth_but_its_formula_is_not(name, c, place):
    row = inside(c, 1)[0].detach()[:1] * (place == "coincident")
    points = [row.repeat(4, 1).requires_grad_() for _ in range(BALL_OPS[name])]
    assert gradcheck(getattr(PoincareBall(c), name), points)


@curvatures
def test_exponential_of_the_zero_vector_at_a_point(c):
    (x,) = inside(c, 1)
    zero = torch.zeros_like(x, requires_grad=True)
    assert gradcheck(PoincareBall(c).expmap, (x, zero))


@curvatures
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["expmap0", "logmap0"])
def test_jacobian_at_the_origin_is_the_identity(name, dtype, c):
    for length in (0.0, 1e-10, 1e-6):
        x = torch.full((3,), length, dtype=dtype)
        found = jacobian(getattr(PoincareBall(c), name), x)
        torch.testing.assert_close(found, torch.eye(3, dtype=dtype))


@curvatures
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["dist", "sq_half_dist", "sq_chord"])
def test_distances_have_zero_gradient_at_coincident_points(name, dtype, c):
    x = torch.tensor([[0.0, 0.0], [0.2, -0.1], [0.3, 0.0]], dtype=dtype)
    x, y = x.requires_grad_(), x.detach().clone().requires_grad_()
    getattr(PoincareBall(c), name)(x, y).sum().backward()
    assert torch.all(x.grad == 0.0)
    assert torch.all(y.grad == 0.0)


@curvatures
def test_gradient_of_the_distance_has_the_length_of_the_conformal_factor(c):
    """Also for points so close that ``acosh(1 + ...)`` would round to 0."""
    ball = PoincareBall(c)
    x = inside(c, 1)[0].detach().float().requires_grad_()
    for size in (1e-4, 1e-2, 0.1):
        step = size * torch.tensor([0.6, 0.0, 0.8]) / c**0.5
        x.grad = None
        ball.dist(x, ball.add(x, step).detach()).sum().backward()
        length = torch.linalg.vector_norm(x.grad, dim=-1)
        expected = 2 / ball.gap(x)[:, 0]
        torch.testing.assert_close(length, expected.detach(), rtol=2e-3, atol=0)


# near the rim


@curvatures
@pytest.mark.parametrize("name", BALL_OPS)
@pytest.mark.parametrize("rim", [0.0, 1e-7, 1e-5, 1e-3])
def test_gradients_are_finite_near_the_rim_in_float32(name, c, rim):
    rng = np.random.default_rng(0)
    n_arrays = BALL_OPS[name]
    x = rng.normal(size=(n_arrays, 4, 3))
    x[:, 1] = x[0, 0]
    x[-1, 2] = -x[0, 2]
    x *= (1 - rim) / c**0.5 / np.linalg.norm(x, axis=-1, keepdims=True)
    points = [torch.tensor(p, dtype=torch.float32, requires_grad=True) for p in x]
    result = getattr(PoincareBall(c), name)(*points)
    assert torch.isfinite(result).all()
    result.sum().backward()
    for point in points:
        assert torch.isfinite(point.grad).all()


def test_far_tangent_vectors_keep_a_gradient():
    """A hard clip would give 0: encoders whose outputs grow would stop learning."""
    v = torch.tensor([[6.0, 0.0]], requires_grad=True)
    x = PoincareBall().expmap0(v)
    PoincareBall().dist(torch.zeros(2), x).sum().backward()
    torch.testing.assert_close(v.grad, torch.tensor([[2.0, 0.0]]), rtol=0.01, atol=0)


# the other models


def lifted(c, n_arrays):
    points = inside(c, n_arrays)
    return [poincare_to_lorentz(x.detach(), c).requires_grad_() for x in points]


@curvatures
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 8.0])
def test_gradients_of_lorentz_maps_at_the_origin(c, scale):
    sheet = Lorentz(c)
    v = (scale * inside(c, 1)[0].detach()).requires_grad_()
    assert gradcheck(sheet.expmap0, v)
    assert gradcheck(sheet.logmap0, sheet.expmap0(v.detach()).requires_grad_())
    back = jacobian(lambda v: sheet.logmap0(sheet.expmap0(v)), v.detach()[0])
    torch.testing.assert_close(back, torch.eye(3, dtype=torch.float64))


@curvatures
@pytest.mark.parametrize("reach", [0.5, 6.0])
def test_gradients_of_lorentz_operations(c, reach):
    sheet = Lorentz(c)

    def lift(v):
        return sheet.expmap0(reach * v / c**0.5)

    u, v = (x.detach() for x in inside(1.0, 2))
    u, v = u.requires_grad_(), v.requires_grad_()
    assert gradcheck(lambda u, v: sheet.dist(lift(u), lift(v)), (u, v))
    assert gradcheck(lambda u, v: sheet.pairwise_dist(lift(u), lift(v)), (u, v))
    assert gradcheck(lambda v: sheet.midpoint(lift(v)), v)
    assert gradcheck(lambda v: sheet.midpoint(lift(v), WEIGHTS), v)
    assert gradcheck(lambda v: sheet.project(lift(v)), v)


def test_lorentz_distance_has_zero_gradient_at_coincident_points():
    for radius in (0.0, 0.5, 5.0, 20.0):
        x = Lorentz().expmap0(torch.tensor([[radius, 0.0]])).requires_grad_()
        y = x.detach().clone().requires_grad_()
        Lorentz().dist(x, y).sum().backward()
        assert torch.all(x.grad == 0.0)
        assert torch.all(y.grad == 0.0)


def test_lorentz_midpoint_of_opposite_points_has_a_gradient():
    v = torch.tensor([[0.5, 0.2], [-0.5, -0.2]], dtype=torch.float64)
    assert gradcheck(
        lambda v: Lorentz().midpoint(Lorentz().expmap0(v)), v.requires_grad_()
    )
    x = PoincareBall().expmap0(v.detach()).requires_grad_()
    assert gradcheck(PoincareBall().midpoint, x)


@curvatures
def test_gradients_of_conversions(c):
    (x,) = inside(c, 1)
    assert gradcheck(lambda x: poincare_to_lorentz(x, c), x)
    assert gradcheck(lambda x: poincare_to_klein(x, c), x)
    assert gradcheck(lambda x: klein_to_poincare(x, c), x)
    assert gradcheck(lambda x: lorentz_to_poincare(x, c), lifted(c, 1)[0])
