"""Laws of the midpoint and the Frechet mean."""

import numpy as np
import pytest

from skhyper.manifolds import (
    Euclidean,
    PoincareBall,
    lorentz_to_poincare,
    poincare_to_lorentz,
)

from .strategies import SPACES, Space, assert_within, law, to_numpy

MEANS = ("midpoint", "frechet_mean")
both_means = pytest.mark.parametrize("name", MEANS)


def norm(x):
    return np.linalg.norm(to_numpy(x), axis=-1)


def spread(space, X):
    """Sum of the rounding of the points and of their distances from the first."""
    far = space.separation(X[..., :1, :], X).max(axis=-1)
    return space.rounding(X).sum(axis=-1) * (1.0 + far)


# midpoint


@both_means
@law(2, n_rows=4)
def test_mean_ignores_the_order_of_the_points(space, name, shares):
    mean = getattr(space.ball, name)
    X = space.points(shares)
    order = [2, 0, 3, 1]
    moved = space.separation(mean(X), mean(X[:, order]))
    assert_within(moved, spread(space, X))


@both_means
@law(2, n_rows=3)
def test_duplicates_are_integer_weights(space, name, shares):
    mean = getattr(space.ball, name)
    X = space.points(shares)
    moved = space.separation(mean(X[:, [0, 1, 1, 2, 2, 2]]), mean(X, [1.0, 2.0, 3.0]))
    assert_within(moved, 3 * spread(space, X))


@both_means
@law(2, n_rows=3)
def test_only_the_ratios_of_the_weights_count(space, name, shares):
    mean = getattr(space.ball, name)
    X = space.points(shares)
    expected = mean(X, np.array([0.5, 0.0, 2.0]))
    without = mean(X[:, [0, 2]], np.array([0.5, 2.0]))
    assert_within(space.separation(without, expected), 3 * spread(space, X))
    for factor in (1e-25, 1e25):
        scaled = mean(X, factor * np.array([0.5, 0.0, 2.0]))
        assert_within(space.separation(scaled, expected), 3 * spread(space, X))


@both_means
@law(1)
def test_mean_of_opposite_points_is_the_origin(space, name, shares):
    (x,) = space.points(shares)
    X = space.array(np.stack([to_numpy(x), -to_numpy(x)], axis=1))
    assert np.all(to_numpy(getattr(space.ball, name)(X)) == 0.0)


@both_means
@law(1)
def test_mean_of_equal_points_is_the_point(space, name, shares):
    (x,) = space.points(shares, reach=-1.6 * np.log(space.eps) / 2)
    X = space.array(np.stack([to_numpy(x)] * 5, axis=1))
    moved = space.separation(getattr(space.ball, name)(X), x)
    assert_within(moved, 8 * space.rounding(x))


@both_means
@law(2)
def test_mean_of_two_points_is_the_middle_of_the_geodesic(space, name, shares):
    ball = space.ball
    x, y = space.points(shares)
    X = space.array(np.stack([to_numpy(x), to_numpy(y)], axis=1))
    mean = getattr(ball, name)(X)
    half = 0.5 * space.separation(x, y)
    allowed = 3 * spread(space, X)
    assert_within(space.separation(mean, x) - half, allowed)
    assert_within(space.separation(mean, y) - half, allowed)


@both_means
@law(4)
def test_mean_moves_with_a_translation(space, name, shares):
    ball, mean = space.ball, getattr(space.ball, name)
    a = space.points(shares[0, :1])
    X = space.points(shares[1:])
    moved = ball.add(a, X)
    error = space.separation(ball.add(a, mean(X)), mean(moved))
    allowed = spread(space, X) + spread(space, moved) + space.rounding(a)
    assert_within(error, 4 * allowed)


@law(2, n_rows=4)
def test_midpoint_is_the_lorentz_centroid(space, shares):
    X = space.points(shares)
    weights = [1.0, 0.5, 3.0, 1.0]
    lifted = space.sheet.midpoint(poincare_to_lorentz(X, space.c), weights)
    centroid = lorentz_to_poincare(lifted, space.c)
    moved = space.separation(space.ball.midpoint(X, weights), centroid)
    assert_within(moved, 2 * spread(space, X))


@law(2, n_rows=4)
def test_midpoint_is_the_normalised_sum_of_lorentz_vectors(space, shares):
    """The definition, in float64, where the points are near enough for it."""
    X = space.points(shares, reach=2.0)
    weights = np.array([1.0, 0.5, 3.0, 1.0])
    exact = to_numpy(X)
    gap = space.gap(X)[..., None]
    lifted = np.concatenate([(2 - gap) / gap, 2 * space.scale * exact / gap], axis=-1)
    total = weights @ lifted
    total /= np.sqrt(total[..., :1] ** 2 - np.sum(total[..., 1:] ** 2, -1)[..., None])
    centroid = total[..., 1:] / (1 + total[..., :1]) / space.scale
    moved = space.separation(space.ball.midpoint(X, weights), centroid)
    assert_within(moved, 2 * space.rounding(X).sum(axis=-1))


@law(2, n_rows=4)
def test_midpoint_agrees_with_its_sufficient_statistic(space, shares):
    """The sums of k-means give the same point while they do not cancel."""
    ball = space.ball
    X = space.points(shares, reach=2.0)
    space_sum = (X / ball.gap(X)).sum(-2)
    time_sum = (1 / ball.gap(X) - 0.5).sum(-2)
    centroid = ball.centroid_from_sums(space_sum, time_sum)
    moved = space.separation(ball.midpoint(X), centroid)
    assert_within(moved, 2 * space.rounding(X).sum(axis=-1))


# Frechet mean


@law(2, n_rows=4)
def test_frechet_mean_is_stationary(space, shares):
    """The weighted sum of the logarithms at the mean vanishes."""
    ball = space.ball
    X = space.points(shares)
    weights = np.array([1.0, 0.5, 3.0, 1.0])
    mean = ball.frechet_mean(X, weights)[:, None, :]
    exact = PoincareBall(space.c)
    logs = exact.logmap(to_numpy(mean), to_numpy(X)) / space.gap(mean)[..., None]
    gradient = 2 * space.scale * norm(weights @ logs) / weights.sum()
    allowed = spread(space, X) + space.rounding(mean)[..., 0]
    assert_within(gradient, allowed)


@law(1, n_rows=4)
def test_frechet_mean_beats_every_data_point_and_the_midpoint(space, shares):
    (X,) = space.points(shares)

    def objective(mean):
        return np.sum(space.separation(mean, X) ** 2)

    lowest = objective(space.ball.frechet_mean(X))
    slack = 8 * spread(space, X) * lowest**0.5 + 1e-12 * lowest
    for other in (*X, space.ball.midpoint(X)):
        assert_within(max(0.0, lowest - objective(other)), slack)


def test_every_step_of_the_frechet_mean_lowers_the_objective():
    """Newton's full steps overshoot here, and end 10 radii away from the mean."""
    ball, rng = PoincareBall(), np.random.default_rng(0)
    v = rng.normal(size=(300, 4, 2))
    lengths = 8.0 * rng.uniform(0.9, 1, size=(300, 4, 1))
    X = ball.expmap0(lengths * v / np.linalg.norm(v, axis=-1, keepdims=True))

    def objective(n_steps):
        mean = ball.frechet_mean(X, max_iter=n_steps)[:, None]
        return np.sum(ball.sq_half_dist(mean, X), axis=1)

    path = np.array([objective(n_steps) for n_steps in range(16)])
    assert np.all(np.diff(path, axis=0) <= 1e-12 * path[0])
    np.testing.assert_allclose(objective(50), path[-1], rtol=1e-12)
    assert np.all(path[-1] < path[0])


# flat space


@both_means
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_flat_means_are_the_weighted_average(name, kind):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(3, 7, 4)), rng.uniform(size=(3, 7))
    expected = [
        np.average(x, axis=0, weights=w) for x, w in zip(X, weights, strict=True)
    ]
    space = Space(1.0, "float64", kind)
    mean = getattr(Euclidean(), name)(space.array(X), weights)
    np.testing.assert_allclose(to_numpy(mean), expected, rtol=1e-14)
    mean = getattr(Euclidean(), name)(space.array(X))
    np.testing.assert_allclose(to_numpy(mean), X.mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("space", SPACES[:4], ids=str)
def test_weights_that_are_all_zero_give_the_origin_not_nan(space):
    X = space.points(np.eye(3)[:2])
    assert np.all(to_numpy(space.ball.midpoint(X, [0.0, 0.0])) == 0.0)
