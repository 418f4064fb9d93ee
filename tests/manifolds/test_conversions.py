"""Changes of model: inverse to each other, and isometric."""

import numpy as np

from skhyper.manifolds import (
    klein_to_poincare,
    lorentz_to_poincare,
    poincare_to_klein,
    poincare_to_lorentz,
)

from .strategies import assert_within, law, to_numpy


@law(1)
def test_lorentz_and_back(space, shares):
    (x,) = space.points(shares)
    back = lorentz_to_poincare(poincare_to_lorentz(x, space.c), space.c)
    assert_within(space.separation(back, x), 6 * space.rounding(x))


@law(1)
def test_klein_and_back(space, shares):
    """Klein coordinates hold half the radius: their gap is the square of the ball's."""
    (x,) = space.points(shares, reach=3.0)
    back = klein_to_poincare(poincare_to_klein(x, space.c), space.c)
    gap = space.gap(x)
    assert_within(space.separation(back, x), 2 * space.eps * (2 / gap) ** 2)


@law(1)
def test_klein_coordinates_are_the_slopes_of_the_lorentz_vector(space, shares):
    (x,) = space.points(shares)
    lifted = to_numpy(poincare_to_lorentz(x, space.c))
    slopes = lifted[:, 1:] / lifted[:, :1] / space.scale
    error = np.linalg.norm(to_numpy(poincare_to_klein(x, space.c)) - slopes, axis=-1)
    assert_within(error, 3 * space.eps * np.linalg.norm(slopes, axis=-1))


@law(1)
def test_lorentz_exponential_of_twice_the_vector_is_the_same_point(space, shares):
    v, (x,) = space.tangents(shares[0]), space.points(shares)
    same = lorentz_to_poincare(space.sheet.expmap0(2 * v), space.c)
    assert_within(space.separation(same, x), 6 * space.rounding(x))


@law(2)
def test_distances_agree_between_the_models(space, shares):
    x, y = space.points(shares)
    lifted = (poincare_to_lorentz(p, space.c) for p in (x, y))
    error = to_numpy(space.sheet.dist(*lifted)) - to_numpy(space.ball.dist(x, y))
    assert_within(space.scale * error, 4 * space.rounding(x, y))


@law(2)
def test_lorentz_distance_is_symmetric_and_zero_on_the_diagonal(space, shares):
    x, y = (poincare_to_lorentz(p, space.c) for p in space.points(shares))
    there, back = space.sheet.dist(x, y), space.sheet.dist(y, x)
    np.testing.assert_array_equal(to_numpy(there), to_numpy(back))
    assert np.all(to_numpy(space.sheet.dist(x, x)) == 0.0)
    pairwise = to_numpy(space.sheet.pairwise_dist(x, y))
    np.testing.assert_array_equal(pairwise.diagonal(), to_numpy(there))


@law(1)
def test_projection_puts_a_lorentz_point_on_the_sheet(space, shares):
    (x,) = space.points(shares)
    lifted = poincare_to_lorentz(x, space.c)
    off = lifted * 1.0
    off[:, 0] = 7.0
    np.testing.assert_array_equal(
        to_numpy(space.sheet.project(off)), to_numpy(space.sheet.project(lifted))
    )
    error = to_numpy(space.sheet.project(off))[:, 0] / to_numpy(lifted)[:, 0] - 1
    assert_within(error, 4 * space.eps)


@law(1, n_rows=4)
def test_lorentz_midpoint_weights(space, shares):
    """Duplicates are integer weights, order does not count, nor does the scale."""
    lifted = poincare_to_lorentz(space.points(shares)[0], space.c)
    expected = space.sheet.midpoint(lifted, np.array([1.0, 2.0, 3.0, 1.0]))
    rows = [3, 1, 2, 0, 2, 1, 2]
    repeated = space.sheet.midpoint(lifted[rows])
    scaled = space.sheet.midpoint(lifted, 1e25 * np.array([1.0, 2.0, 3.0, 1.0]))
    reach = np.abs(to_numpy(lifted)).max() * space.scale
    for other in (repeated, scaled):
        error = np.abs(to_numpy(other - expected)).max() * space.scale
        assert_within(error, space.eps * reach**2)
