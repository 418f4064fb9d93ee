"""Laws of the Poincare ball, for every curvature, dtype and kind of array.

Each tolerance is a small multiple of `Space.rounding`, which no formula can beat; the
textbook formulas with cancelling terms exceed it by factors of 100 and more.
"""

from functools import reduce

import numpy as np
import pytest

from skhyper.manifolds import Euclidean, PoincareBall

from .strategies import SPACES, assert_within, law, to_numpy


def norm(x):
    return np.linalg.norm(to_numpy(x), axis=-1)


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


# distances


@law(1)
def test_distance_of_a_point_to_itself_is_zero(space, shares):
    (x,) = space.points(shares)
    for of in (space.ball.dist, space.ball.sq_half_dist, space.ball.sq_chord):
        assert np.all(to_numpy(of(x, x)) == 0.0)


@law(2)
def test_distance_is_symmetric_bit_for_bit(space, shares):
    x, y = space.points(shares)
    for of in (space.ball.dist, space.ball.sq_half_dist, space.ball.sq_chord):
        np.testing.assert_array_equal(to_numpy(of(x, y)), to_numpy(of(y, x)))


@law(3)
def test_triangle_inequality(space, shares):
    x, y, z = space.points(shares)
    d_xz, d_xy, d_yz = (
        space.scale * to_numpy(space.ball.dist(p, q))
        for p, q in ((x, z), (x, y), (y, z))
    )
    assert np.all(d_xz <= (d_xy + d_yz) + 2 * space.rounding(x, y, z))


@law(2)
def test_triangle_inequality_is_an_equality_on_a_geodesic(space, shares):
    ball = space.ball
    x, y = space.points(shares)
    middle, between = ball.expmap(x, 0.5 * ball.logmap(x, y)), ball.add(-x, y)
    half = 0.5 * to_numpy(ball.dist(x, y))
    for end in (x, y):
        error = space.scale * (to_numpy(ball.dist(middle, end)) - half)
        assert_within(error, 4 * space.rounding(x, y, middle, between))


@law(2)
def test_distance_scales_with_the_radius_of_curvature(space, shares):
    x, y = space.points(shares)
    unit = PoincareBall(1.0).dist(space.scale * x, space.scale * y)
    error = space.scale * to_numpy(space.ball.dist(x, y)) - to_numpy(unit)
    assert_within(error, 3 * space.rounding(x, y))


@law(3)
def test_distance_is_invariant_under_translation(space, shares):
    ball = space.ball
    a, x, y = space.points(shares)
    ax, ay = ball.add(a, x), ball.add(a, y)
    error = to_numpy(ball.dist(ax, ay)) - to_numpy(ball.dist(x, y))
    assert_within(space.scale * error, 4 * space.rounding(a, x, y, ax, ay))


@law(2)
def test_distance_is_invariant_under_rotation(space, shares):
    x, y = space.points(shares)
    turn = space.array(rotation(x.shape[-1]))
    error = space.ball.dist(x @ turn, y @ turn) - space.ball.dist(x, y)
    assert_within(space.scale * to_numpy(error), 6 * space.rounding(x, y))


@law(1)
def test_distance_to_the_origin_is_twice_the_logarithm(space, shares):
    (x,) = space.points(shares)
    distance = to_numpy(space.ball.dist(0 * x, x))
    error = distance - 2 * norm(space.ball.logmap0(x))
    assert_within(space.scale * error, 3 * space.rounding(x))
    closed_form = 2 * np.arctanh(space.scale * norm(x)) / space.scale
    assert_within(space.scale * (distance - closed_form), 3 * space.rounding(x))


@law(2)
def test_half_distance_and_chord_are_functions_of_the_distance(space, shares):
    x, y = space.points(shares)
    half = 0.5 * to_numpy(space.ball.dist(x, y))
    sq_half = to_numpy(space.ball.sq_half_dist(x, y))
    allowed = 8 * space.eps
    assert_within(sq_half - half**2, allowed * half**2)
    chord = np.sinh(space.scale * half) ** 2 / space.c
    allowed = allowed * (1 + 2 * space.scale * half)
    assert_within(to_numpy(space.ball.sq_chord(x, y)) - chord, allowed * chord)


# gyrovectors


@law(1)
def test_adding_the_origin_changes_nothing(space, shares):
    (x,) = space.points(shares)
    for result in (space.ball.add(0 * x, x), space.ball.add(x, 0 * x)):
        assert_within(norm(result - x), 3 * space.eps * norm(x))


@law(1)
def test_adding_the_inverse_gives_the_origin_exactly(space, shares):
    (x,) = space.points(shares)
    assert np.all(to_numpy(space.ball.add(-x, x)) == 0.0)


@law(2)
def test_left_cancellation(space, shares):
    ball = space.ball
    x, y = space.points(shares)
    total = ball.add(x, y)
    back = ball.add(-x, total)
    assert_within(space.separation(back, y), 5 * space.rounding(x, y, total))


@law(2)
def test_the_sum_stays_in_the_ball_and_its_gap_has_a_closed_form(space, shares):
    x, y = space.points(shares)
    total = space.ball.add(x, y)
    s = to_numpy(x) + to_numpy(y)
    product = space.gap(x) * space.gap(y)
    expected = product / (space.c * np.sum(s * s, axis=-1) + product)
    allowed = 5 * space.rounding(x, y, total)
    assert_within(space.gap(total) / expected - 1, allowed)


@law(2)
def test_gyrocommutativity(space, shares):
    ball = space.ball
    x, y = space.points(shares)
    total = ball.add(x, y)
    turned = ball.gyration(x, y, ball.add(y, x))
    assert_within(space.separation(total, turned), 12 * space.rounding(x, y, total))


@law(3)
def test_left_gyroassociativity(space, shares):
    ball = space.ball
    x, y, z = space.points(shares)
    left = ball.add(x, ball.add(y, z))
    turned = ball.gyration(x, y, z)
    right = ball.add(ball.add(x, y), turned)
    allowed = space.rounding(x, y, z, ball.add(x, y), ball.add(y, z), left)
    # the error of an angle moves a point the farther, the farther out it lies
    allowed = allowed + space.rounding(x, y) / space.gap(z)
    assert_within(space.separation(left, right), 4 * allowed)


@law(4)
def test_gyration_is_linear_and_orthogonal(space, shares):
    ball = space.ball
    x, y = space.points(shares[:2])
    u, v = space.array(shares[2:])
    gyr_u, gyr_v = ball.gyration(x, y, u), ball.gyration(x, y, v)
    allowed = 4 * space.rounding(x, y) * norm(u) * norm(v)
    inner = np.sum(to_numpy(gyr_u) * to_numpy(gyr_v), axis=-1)
    assert_within(inner - np.sum(to_numpy(u) * to_numpy(v), axis=-1), allowed)
    combined = ball.gyration(x, y, 2 * u - 3 * v)
    allowed = 4 * space.rounding(x, y) * (norm(u) + norm(v))
    assert_within(norm(combined - (2 * gyr_u - 3 * gyr_v)), allowed)


@law(3)
def test_gyration_is_the_identity_where_translations_commute(space, shares):
    x, y = space.points(shares[:2])
    v = space.array(shares[2])
    for first, second in ((x, 0 * x), (0 * y, y), (x, x), (x, -x)):
        turned = space.ball.gyration(first, second, v)
        assert_within(norm(turned - v), 4 * space.rounding(x, y) * norm(v))


# maps between points and tangent vectors


@law(1)
def test_exp_and_log_at_the_origin_are_inverse(space, shares):
    v, (x,) = space.tangents(shares[0]), space.points(shares)
    back = space.ball.logmap0(space.ball.expmap0(v))
    # a relative error, so that small vectors keep their digits
    allowed = 4 * space.eps + space.rounding(x) / np.maximum(1, space.scale * norm(v))
    assert_within(norm(back - v), 2 * allowed * norm(v))
    again = space.ball.expmap0(space.ball.logmap0(x))
    assert_within(norm(again - x), 4 * space.eps * norm(x))


@law(2)
def test_exp_and_log_at_a_point_are_inverse(space, shares):
    ball = space.ball
    x, y = space.points(shares)
    back = ball.expmap(x, ball.logmap(x, y))
    between = ball.add(-x, y)
    assert_within(space.separation(back, y), 7 * space.rounding(x, y, between))
    v = ball.gap(x) * space.tangents(shares[1])
    end = ball.expmap(x, v)
    error = space.scale * norm((ball.logmap(x, end) - v) / ball.gap(x))
    assert_within(error, 3 * space.rounding(x, y, end))


@law(2)
def test_logarithm_is_as_long_as_the_distance(space, shares):
    x, y = space.points(shares)
    length = 2 * norm(space.ball.logmap(x, y) / space.ball.gap(x))
    error = space.scale * (length - to_numpy(space.ball.dist(x, y)))
    assert_within(error, 4 * space.rounding(x, y))


@law(1)
def test_logarithm_at_the_point_itself_is_zero(space, shares):
    (x,) = space.points(shares)
    assert np.all(to_numpy(space.ball.logmap(x, x)) == 0.0)
    moved = space.ball.expmap(x, 0 * x)
    assert_within(space.separation(moved, x), 3 * space.rounding(x))


@law(2)
def test_exponential_has_unit_speed(space, shares):
    ball = space.ball
    x, v = space.points(shares[:1])[0], space.tangents(shares[1])
    for t in (0.25, 1.0):
        end = ball.expmap(x, t * ball.gap(x) * v)
        error = space.scale * (to_numpy(ball.dist(x, end)) - 2 * t * norm(v))
        assert_within(error, 5 * space.rounding(x, ball.expmap0(t * v), end))


# parallel transport


@law(4)
def test_transport_preserves_inner_products(space, shares):
    ball = space.ball
    x, y = space.points(shares[:2])
    u, v = space.array(shares[2:])
    at_x, at_y = to_numpy(ball.gap(x)), to_numpy(ball.gap(y))
    moved_u, moved_v = (to_numpy(ball.transport(x, y, w)) / at_y for w in (u, v))
    error = np.sum(moved_u * moved_v - to_numpy(u) * to_numpy(v) / at_x**2, axis=-1)
    size = norm(u) * norm(v) / at_x[:, 0] ** 2
    assert_within(error, 4 * space.rounding(x, y) * size)


@law(3)
def test_transport_back_is_the_inverse(space, shares):
    ball = space.ball
    x, y = space.points(shares[:2])
    v = space.array(shares[2])
    back = ball.transport(y, x, ball.transport(x, y, v))
    assert_within(norm(back - v), 4 * space.rounding(x, y) * norm(v))


@law(2)
def test_transport_carries_a_geodesic_along_itself(space, shares):
    ball = space.ball
    x, y = space.points(shares)
    carried = ball.transport(x, y, ball.logmap(x, y))
    error = space.scale * norm((carried + ball.logmap(y, x)) / ball.gap(y))
    length = 1 + space.scale * to_numpy(ball.dist(x, y))
    assert_within(error, 3 * space.rounding(x, y) * length)


@law(2)
def test_transport_from_the_origin_only_scales(space, shares):
    (y,) = space.points(shares[:1])
    v = space.array(shares[1])
    expected = space.ball.gap(y) * v
    error = norm(space.ball.transport(0 * y, y, v) - expected)
    assert_within(error, 4 * space.eps * norm(expected))


# residual quantization


@law(4)
def test_residuals_telescope(space, shares):
    """``d(z_hat_m, z) = d(0, r_m)`` for every prefix, and the fold gives z back."""
    ball = space.ball
    reach = 0.6 * np.log(1 / space.eps) / 4
    z, *codes = space.points(shares, reach)
    allowed, residual = space.rounding(z), z
    for m, code in enumerate(codes, start=1):
        residual = ball.add(-code, residual)
        allowed = allowed + space.rounding(code, residual)
        decoded = reduce(lambda total, q: ball.add(q, total), codes[:m][::-1])
        error = to_numpy(ball.dist(decoded, z)) - to_numpy(ball.dist(0 * z, residual))
        assert_within(space.scale * error, 5 * (allowed + space.rounding(decoded)))
        back = reduce(lambda total, q: ball.add(q, total), codes[:m][::-1], residual)
        assert_within(space.separation(back, z), 6 * (allowed + space.rounding(back)))


# the flat limit

FLAT = [(1e-4, "float64"), (1e-8, "float64"), (1e-8, "float32")]


@pytest.mark.parametrize(("c", "dtype"), FLAT)
@law(3, spaces=SPACES[:2])
def test_everything_tends_to_flat_space(space, c, dtype, shares):
    space = type(space)(c, dtype, space.kind)
    ball, flat = space.ball, Euclidean()
    x, y, v = space.array(shares)
    # lengths are at most 1, so what is left of the curvature is of order c
    allowed = 4 * c + 4 * space.eps
    distance = to_numpy(flat.dist(x, y))
    assert_within(to_numpy(ball.dist(x, y)) - 2 * distance, 2 * allowed * distance)
    assert_within(
        to_numpy(ball.sq_half_dist(x, y)) - distance**2, 2 * allowed * distance**2
    )
    pairs = [
        (ball.add(x, y), flat.add(x, y)),
        (ball.expmap0(v), v),
        (ball.logmap0(x), x),
        (ball.expmap(x, v), flat.expmap(x, v)),
        (ball.logmap(x, y), flat.logmap(x, y)),
        (ball.gyration(x, y, v), flat.gyration(x, y, v)),
        (ball.transport(x, y, v), flat.transport(x, y, v)),
        (ball.midpoint(x), flat.midpoint(x)),
        (ball.frechet_mean(x), flat.frechet_mean(x)),
        (ball.gap(x), flat.gap(x)),
        (ball.project(x), flat.project(x)),
    ]
    for curved, straight in pairs:
        assert_within(norm(curved - straight), allowed)


@law(2, spaces=SPACES[2:4], max_examples=30)
def test_the_error_of_the_flat_limit_is_of_first_order(space, shares):
    x, y = space.array(0.9 * shares)
    straight = 2 * to_numpy(Euclidean().dist(x, y))
    coarse, fine = (to_numpy(PoincareBall(c).dist(x, y)) for c in (1e-3, 1e-4))
    error = np.abs(coarse - straight)
    assert_within(np.abs(fine - straight) - 0.1 * error, 0.01 * error + 1e-14)
