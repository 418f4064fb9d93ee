"""Gromov's delta against brute force, graphs with a known delta, and its laws."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import cdist

from skhyper.manifolds import Euclidean, Lorentz, PoincareBall, poincare_to_lorentz
from skhyper.metrics import delta_hyperbolicity

SEEDS = st.integers(0, 2**32 - 1)


def delta(D, **options):
    """Unscaled delta of a matrix of distances."""
    return delta_hyperbolicity(D, metric="precomputed", relative=False, **options)


def deltas_of_fours(D):
    """Delta of every four points, by definition, keyed by the points."""
    values = {}
    for a, b, c, d in itertools.combinations(range(len(D)), 4):
        sums = sorted([D[a, b] + D[c, d], D[a, c] + D[b, d], D[a, d] + D[b, c]])
        values[a, b, c, d] = (sums[2] - sums[1]) / 2
    return values


def distances(seed, n_points, n_features=3):
    points = np.random.default_rng(seed).normal(size=(n_points, n_features))
    return cdist(points, points)


def random_metric(seed, n_points):
    """Shortest paths of a complete graph with random lengths."""
    return shortest_path(
        np.random.default_rng(seed).uniform(0.1, 1.0, (n_points, n_points)),
        directed=False,
    )


def random_tree(seed, n_points):
    """Distances in a tree whose edges have whole lengths."""
    rng = np.random.default_rng(seed)
    D = np.zeros((n_points, n_points))
    for new in range(1, n_points):
        parent = rng.integers(new)
        D[new, :new] = D[:new, new] = D[parent, :new] + rng.integers(1, 9)
    return D


def graph(n_nodes, edges):
    adjacency = np.zeros((n_nodes, n_nodes))
    for a, b in edges:
        adjacency[a, b] = 1
    return shortest_path(adjacency, directed=False, unweighted=True)


def cycle(n):
    return graph(n, [(i, (i + 1) % n) for i in range(n)])


def grid(rows, columns):
    places = list(itertools.product(range(rows), range(columns)))
    return cdist(places, places, "cityblock")


@given(SEEDS, st.integers(1, 11), st.sampled_from([distances, random_metric]))
def test_equals_brute_force_over_all_fours(seed, n_points, make):
    D = make(seed, n_points)
    expected = max(deltas_of_fours(D).values(), default=0.0)
    assert_allclose(delta(D), expected, atol=1e-12)


@settings(max_examples=20)
@given(SEEDS, st.integers(5, 9), st.integers(1, 4))
def test_base_points_look_at_the_fours_that_hold_them(seed, n_points, n_base_points):
    D = random_metric(seed, n_points)
    values = deltas_of_fours(D)
    possible = [
        max(v for points, v in values.items() if set(points) & set(base))
        for base in itertools.combinations(range(n_points), n_base_points)
    ]
    found = delta(D, n_base_points=n_base_points, random_state=seed)
    assert np.abs(np.array(possible) - found).min() < 1e-12
    assert found <= delta(D) + 1e-12
    assert delta(D) <= 2 * found + 1e-12
    every = delta(D, n_base_points=n_points, random_state=seed)
    assert_allclose(every, delta(D), atol=1e-12)


def test_pruning_and_blocks_lose_nothing():
    # many more pairs than a step takes, against the products written out
    D = distances(0, 80)
    at_base = []
    for from_base in D:
        product = (from_base[:, None] + from_base - D) / 2
        through = np.minimum(product[:, None, :], product).max(axis=2)
        at_base.append((through - product).max())
    assert_allclose(delta(D), max(at_base), rtol=1e-12)
    for seed in range(20):
        found = delta(D, n_base_points=1, random_state=seed)
        assert np.isclose(at_base, found, rtol=1e-12).any()


@given(SEEDS, st.integers(1, 30))
def test_trees_have_delta_zero(seed, n_points):
    D = random_tree(seed, n_points)
    assert delta(D) == 0.0
    assert delta_hyperbolicity(D, metric="precomputed") == 0.0


@pytest.mark.parametrize("n", range(3, 18))
def test_cycles_have_the_known_delta(n):
    # N. Cohen, D. Coudert, A. Lancin, "On computing the Gromov hyperbolicity", 2015
    assert delta(cycle(n)) == n // 4 - (0.5 if n % 4 == 1 else 0.0)


@pytest.mark.parametrize("shape", [(2, 2), (2, 6), (3, 5), (4, 4)])
def test_grids_have_the_known_delta(shape):
    assert delta(grid(*shape)) == min(shape) - 1


@given(SEEDS, st.floats(1e-6, 1e6))
def test_delta_scales_and_relative_delta_does_not(seed, scale):
    D = random_metric(seed, 8)
    assert_allclose(delta(scale * D), scale * delta(D), rtol=1e-9, atol=1e-12 * scale)
    relative = delta_hyperbolicity(D, metric="precomputed")
    assert_allclose(relative, 2 * delta(D) / D.max(), rtol=1e-12)
    assert 0 <= relative <= 1
    scaled = delta_hyperbolicity(scale * D, metric="precomputed")
    assert_allclose(scaled, relative, rtol=1e-9, atol=1e-12)


@given(SEEDS)
def test_order_and_repeats_of_points_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    D = random_metric(seed, 8)
    order = np.concatenate([rng.permutation(8), rng.integers(8, size=3)])
    assert_allclose(delta(D[np.ix_(order, order)]), delta(D), atol=1e-12)


def test_four_points_at_right_angles_bring_the_plane_to_log_2():
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for c in (0.25, 1.0, 4.0):
        far = PoincareBall(c).expmap0(5.0 * directions / c**0.5)
        value = delta_hyperbolicity(far, metric=PoincareBall(c), relative=False)
        assert_allclose(value, np.log(2) / c**0.5, rtol=1e-6)


@settings(max_examples=20)
@given(SEEDS, st.integers(2, 4), st.floats(0.1, 5.0))
def test_hyperbolic_space_stays_below_log_2(seed, n_features, spread):
    rng = np.random.default_rng(seed)
    points = PoincareBall(1.0).expmap0(spread * rng.normal(size=(40, n_features)))
    value = delta_hyperbolicity(points, metric=PoincareBall(1.0), relative=False)
    assert value <= np.log(2) * (1 + 1e-9)


def test_manifolds_measure_as_their_distances_do():
    rng = np.random.default_rng(0)
    ball = PoincareBall(0.7)
    Z = ball.expmap0(rng.normal(size=(60, 3)))
    X = poincare_to_lorentz(Z, 0.7)
    expected = delta_hyperbolicity(ball.pairwise_dist(Z, Z), metric="precomputed")
    assert delta_hyperbolicity(Z, metric=ball) == expected
    assert_allclose(delta_hyperbolicity(X, metric=Lorentz(0.7)), expected, rtol=1e-9)
    flat = delta_hyperbolicity(cdist(Z, Z), metric="precomputed")
    assert delta_hyperbolicity(Z) == flat
    assert delta_hyperbolicity(Z.tolist(), metric=Euclidean()) == flat
    assert expected < flat


def test_samples():
    D = distances(1, 80)
    whole = delta(D)
    found = delta(D, sample_size=30, n_repeats=7, random_state=3)
    assert found.shape == (7,)
    assert found.dtype == np.float64
    assert np.all((found > 0) & (found <= whole + 1e-12))
    assert len(set(found.tolist())) > 1
    again = delta(D, sample_size=30, n_repeats=7, random_state=3)
    assert_array_equal(found, again)
    assert_allclose(delta(D, sample_size=80, n_repeats=2), [whole, whole], rtol=1e-12)


def test_samples_of_points_are_samples_of_distances():
    X = np.random.default_rng(2).normal(size=(50, 4))
    options = {"sample_size": 20, "n_base_points": 2, "random_state": 0}
    assert_allclose(
        delta_hyperbolicity(X, **options),
        delta_hyperbolicity(cdist(X, X), metric="precomputed", **options),
        rtol=1e-12,
    )


def test_neither_the_global_generator_nor_the_input_is_touched():
    D = distances(0, 20)
    before, state = D.copy(), np.random.get_state()[1].copy()
    delta(D, sample_size=10, n_base_points=1, random_state=0)
    delta(D)
    assert_array_equal(D, before)
    assert_array_equal(np.random.get_state()[1], state)


def test_equal_points_have_relative_delta_zero():
    assert delta_hyperbolicity(np.ones((6, 2))) == 0.0
    assert delta_hyperbolicity(np.ones((1, 2))) == 0.0


def test_memory_stays_near_the_matrix_of_distances():
    X = np.random.default_rng(0).normal(size=(1000, 5))
    tracemalloc.start()
    delta_hyperbolicity(X, n_base_points=1, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # for 1500 rows, of which the notes speak, this is 2.25 times as much
    assert peak < 200e6 / 2.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "cosine"}, r"metric='cosine' must be 'euclidean'.*precomputed"),
        ({"metric": None}, "metric=None must be"),
        ({"metric": "precomputed"}, r"square matrix .* got X of shape \(4, 2\)"),
        ({"metric": PoincareBall(1.0)}, "X has 2 of 4 points outside"),
        ({"metric": Lorentz(1.0)}, "X has 4 of 4 points off the sheet"),
        ({"sample_size": 5}, "sample_size=5 must be an integer from 1 to 4, or None"),
        ({"sample_size": 0.5}, "sample_size=0.5 must be an integer"),
        ({"n_base_points": 0}, "n_base_points=0 must be an integer from 1 to 4"),
        ({"sample_size": 2, "n_repeats": 0}, "n_repeats=0 must be an integer of at"),
    ],
)
def test_bad_parameters_are_named(options, message):
    X = np.array([[0.0, 0.1], [0.1, 0.0], [2.0, 0.0], [0.0, 2.0]])
    with pytest.raises(ValueError, match=message):
        delta_hyperbolicity(X, **options)


@pytest.mark.parametrize(
    "D", [[[0.0, 1.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]], [[0.0, -1.0], [-1.0, 0]]]
)
def test_what_cannot_be_distances_is_named(D):
    with pytest.raises(ValueError, match=r"X is no matrix of distances: .*symmetric"):
        delta_hyperbolicity(D, metric="precomputed")


def test_missing_values_are_named():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        delta_hyperbolicity([[0.0], [np.nan]])
    with pytest.raises(ValueError, match="Input X contains infinity"):
        delta_hyperbolicity([[0.0, np.inf], [np.inf, 0.0]], metric="precomputed")
