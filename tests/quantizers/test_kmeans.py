"""HyperbolicKMeans against its laws, scikit-learn's KMeans and a slow twin."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ortho_group
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from skhyper.datasets import make_tree
from skhyper.manifolds import PoincareBall, poincare_to_lorentz
from skhyper.quantizers import HyperbolicKMeans
from skhyper.quantizers._lloyd import Cloud, _ChordsToPoints, seed_centers

from . import twins

SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15)


def cloud_of(seed, n=60, d=3, radius=2.0, repeats=True):
    """Tangent vectors up to `radius`, some of them repeated, with uneven weights."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, d))
    X *= radius * rng.uniform(size=(n, 1)) ** 0.5 / np.linalg.norm(X, axis=1)[:, None]
    if repeats:
        X[rng.randint(n, size=n // 3)] = X[rng.randint(n, size=n // 3)]
    return X, rng.choice([0.5, 1.0, 3.0, 1000.0], size=n)


def fit(X, k, sample_weight=None, **parameters):
    parameters = {"tol": 0, "random_state": 0, "curvature": 1.0, **parameters}
    return HyperbolicKMeans(k, **parameters).fit(X, sample_weight=sample_weight)


def objective(model, X, weight):
    """The inertia, from the labels, by the definition."""
    ball = PoincareBall(model.curvature_)
    Z, centers = ball.expmap0(X), ball.expmap0(model.cluster_centers_)
    own = centers[model.labels_]
    chords = [twins.chord(ball, z, q) for z, q in zip(Z, own, strict=True)]
    return float(np.dot(chords, weight))


@quick
@given(seed=SEEDS, radius=st.sampled_from([0.01, 1.0, 5.0, 10.0, 14.0]))
def test_inertia_never_rises(seed, radius):
    X, weight = cloud_of(seed, radius=radius)
    inertia = [fit(X, 6, weight, max_iter=n).inertia_ for n in range(1, 12)]
    assert np.all(np.diff(inertia) <= 0)
    assert inertia[-1] < inertia[0] or fit(X, 6, weight).n_iter_ <= 2


@pytest.mark.parametrize("radius", [2.0, 6.0, 9.0, 12.0, 14.0])
def test_far_points_do_not_stop_the_others(radius):
    # out there a centroid from plain Lorentz sums has lost its digits
    rng = np.random.RandomState(0)
    far = np.c_[radius + rng.normal(scale=0.3, size=20), np.zeros(20)]
    X = np.r_[rng.normal(scale=0.5, size=(100, 2)), far]
    init = X[[0, 1, 2, 100, 101]]
    model = fit(X, 5, init=init)
    assert model.n_iter_ > 2
    # a fixed point: every center is the centroid of its own cluster
    ball = PoincareBall(1.0)
    for k, center in enumerate(ball.expmap0(model.cluster_centers_)):
        mean = ball.midpoint(ball.expmap0(X[model.labels_ == k]))
        assert ball.dist(center, mean) < 1e-3


@pytest.mark.parametrize("radius", [1.0, 8.0, 12.0, 14.0])
def test_crowded_points_near_the_rim_are_told_apart(radius):
    # six groups about two radii of curvature from each other, at the same distance
    angle = np.repeat(np.arange(6) * 8 * np.exp(-2 * radius), 5)
    X = radius * np.c_[np.cos(angle), np.sin(angle)]
    model = fit(X, 6)
    assert sorted(np.bincount(model.labels_)) == [5] * 6
    assert model.inertia_ == pytest.approx(0, abs=1e-6)


@quick
@given(seed=SEEDS, c=st.sampled_from([1e-8, 1e-10, 1e-13]))
def test_flat_limit_is_scikit_learns_kmeans(seed, c):
    X, weight = cloud_of(seed, n=80, d=4, repeats=False)
    weight = np.minimum(weight, 3)
    init = X[:5]
    ours = fit(X, 5, weight, init=init, curvature=c)
    flat = KMeans(5, init=init, n_init=1, tol=0, max_iter=300).fit(
        X, sample_weight=weight
    )
    assert_array_equal(ours.labels_, flat.labels_)
    assert ours.inertia_ == pytest.approx(flat.inertia_, rel=1e-6)
    assert_allclose(ours.cluster_centers_, flat.cluster_centers_, atol=1e-6)
    assert_allclose(ours.transform(X), 2 * flat.transform(X), rtol=1e-6, atol=1e-6)
    assert ours.score(X, sample_weight=weight) == pytest.approx(-ours.inertia_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_limit_takes_scikit_learns_steps(dtype):
    X, _ = make_tree(3000, 16, branching=5, random_state=0)
    X, init = X.astype(dtype), X[::100].astype(dtype)
    for max_iter in (1, 2, 5):
        options = {"init": init, "max_iter": max_iter, "tol": 0}
        ours = HyperbolicKMeans(30, curvature=1e-10, **options).fit(X)
        flat = KMeans(30, n_init=1, **options).fit(X.astype(np.float64))
        assert_array_equal(ours.labels_, flat.labels_)
        assert_allclose(ours.cluster_centers_, flat.cluster_centers_, atol=1e-7)


@quick
@given(seed=SEEDS, c=st.sampled_from([0.01, 0.3, 1.0, 50.0]))
def test_equals_the_slow_twin(seed, c):
    X, weight = cloud_of(seed, n=40, repeats=False)
    X, weight = X / c**0.5, np.minimum(weight, 3)
    ball = PoincareBall(c)
    Z = ball.expmap0(X)
    start = np.random.RandomState(seed).choice(40, 4, replace=False)
    for max_iter in (1, 2, 50):
        model = fit(X, 4, weight, init=X[start], curvature=c, max_iter=max_iter)
        centers, labels, inertia = twins.lloyd(ball, Z, weight, Z[start], max_iter)
        assert_array_equal(model.labels_, labels)
        assert_allclose(ball.expmap0(model.cluster_centers_), centers, atol=1e-9)
        assert model.inertia_ == pytest.approx(inertia, rel=1e-9)


@quick
@given(seed=SEEDS, radius=st.sampled_from([1.0, 5.0]))
def test_result_is_a_centroidal_assignment(seed, radius):
    X, weight = cloud_of(seed, radius=radius)
    model = fit(X, 5, weight)
    ball = PoincareBall(1.0)
    Z, centers = ball.expmap0(X), ball.expmap0(model.cluster_centers_)
    labels, _ = twins.assign(ball, Z, centers)
    assert_array_equal(model.labels_, labels)
    assert_array_equal(model.predict(X), model.labels_)
    for k, center in enumerate(centers):
        own = labels == k
        assert ball.dist(center, ball.midpoint(Z[own], weight[own])) < 1e-5
    assert objective(model, X, weight) == pytest.approx(model.inertia_, rel=1e-6)


@quick
@given(seed=SEEDS)
def test_weights_are_repeats_and_zero_is_absent(seed):
    X, _ = cloud_of(seed)
    weight = np.random.RandomState(seed).randint(0, 4, size=len(X))
    repeated = np.repeat(X, weight, axis=0)
    # one seed: the random draws are the same too
    ours, twin = fit(X, 5, weight, n_init=2), fit(repeated, 5, n_init=2)
    assert_allclose(ours.cluster_centers_, twin.cluster_centers_, atol=1e-9)
    assert_array_equal(ours.predict(X), twin.predict(X))
    assert ours.inertia_ == pytest.approx(twin.inertia_)
    assert ours.n_iter_ == twin.n_iter_
    present = fit(X[weight > 0], 5, weight[weight > 0], n_init=2)
    assert_allclose(ours.cluster_centers_, present.cluster_centers_, atol=1e-9)
    assert ours.inertia_ == pytest.approx(present.inertia_)


@quick
@given(seed=SEEDS)
def test_order_of_the_rows_does_not_matter(seed):
    X, _ = cloud_of(seed)
    order = np.random.RandomState(seed).permutation(len(X))
    model, shuffled = fit(X, 5), fit(X[order], 5)
    assert model.cluster_centers_.tobytes() == shuffled.cluster_centers_.tobytes()
    assert_array_equal(shuffled.labels_, model.labels_[order])
    assert shuffled.inertia_ == model.inertia_


def test_inertia_is_in_the_users_weights():
    X, weight = cloud_of(0)
    model, ten = fit(X, 5, weight), fit(X, 5, 10 * weight)
    assert ten.inertia_ == pytest.approx(10 * model.inertia_)
    assert ten.score(X, sample_weight=10 * weight) == pytest.approx(-ten.inertia_)
    assert fit(X, 5, np.ones(len(X))).inertia_ == fit(X, 5).inertia_


@pytest.mark.parametrize("radius", [1.0, 6.0, 14.0])
def test_as_many_clusters_as_points_cost_nothing(radius):
    X, _ = cloud_of(0, n=30, radius=radius, repeats=False)
    model = fit(X, 30)
    assert model.inertia_ == pytest.approx(0, abs=1e-6)
    assert sorted(model.labels_) == list(range(30))


@quick
@given(seed=SEEDS, c=st.sampled_from([1e-8, 0.3, 1.0, 50.0]))
def test_centers_are_their_own_clusters(seed, c):
    X, _ = cloud_of(seed)
    model = fit(X / c**0.5, 7, curvature=c)
    assert_array_equal(model.predict(model.cluster_centers_), np.arange(7))
    assert np.all(np.diag(model.transform(model.cluster_centers_)) < 1e-6 / c**0.5)


@quick
@given(seed=SEEDS)
def test_permuted_init_permutes_labels(seed):
    X, weight = cloud_of(seed, repeats=False)
    order = np.random.RandomState(seed).permutation(6)
    model = fit(X, 6, weight, init=X[:6])
    permuted = fit(X, 6, weight, init=X[:6][order])
    assert_array_equal(order[permuted.labels_], model.labels_)
    assert_array_equal(permuted.cluster_centers_, model.cluster_centers_[order])


@quick
@given(seed=SEEDS)
def test_rotations_do_not_matter(seed):
    X, weight = cloud_of(seed, d=4, repeats=False)
    turn = ortho_group.rvs(4, random_state=np.random.RandomState(seed))
    model = fit(X, 5, weight, init=X[:5])
    turned = fit(X @ turn, 5, weight, init=X[:5] @ turn)
    assert_array_equal(turned.labels_, model.labels_)
    assert_allclose(turned.cluster_centers_, model.cluster_centers_ @ turn, atol=1e-8)


@quick
@given(seed=SEEDS, c=st.sampled_from([0.3, 1.0, 50.0]))
def test_translations_of_the_ball_do_not_matter(seed, c):
    X, weight = cloud_of(seed, repeats=False)
    ball = PoincareBall(c)
    Z = ball.expmap0(X / c**0.5)
    there = ball.expmap0(np.full(3, 0.4) / c**0.5)
    options = {"input_geometry": "ball", "curvature": c}
    model = fit(Z, 5, weight, init=Z[:5], **options)
    moved = fit(ball.add(there, Z), 5, weight, init=ball.add(there, Z[:5]), **options)
    assert_array_equal(moved.labels_, model.labels_)
    assert moved.inertia_ == pytest.approx(model.inertia_, rel=1e-9)
    expected = ball.add(there, model.cluster_centers_)
    assert np.all(ball.dist(moved.cluster_centers_, expected) < 1e-6 / c**0.5)


@pytest.mark.parametrize("c", [0.3, 1.0, 50.0])
def test_input_geometries_agree(c):
    X, weight = cloud_of(0)
    X /= c**0.5
    ball = PoincareBall(c)
    inputs = {
        "ball": ball.expmap0(X),
        "lorentz": poincare_to_lorentz(ball.expmap0(X), c),
    }
    model = fit(X, 5, weight, curvature=c, init=X[:5])
    for geometry, D in inputs.items():
        options = {"curvature": c, "init": D[:5], "input_geometry": geometry}
        other = fit(D, 5, weight, **options)
        assert_array_equal(other.labels_, model.labels_)
        assert other.inertia_ == pytest.approx(model.inertia_)
        assert_allclose(other.transform(D), model.transform(X), rtol=1e-6, atol=1e-7)
        assert other.cluster_centers_.shape == (5, D.shape[1])
        assert_array_equal(other.predict(other.cluster_centers_), np.arange(5))


def test_empty_clusters_are_moved_to_costly_points():
    X, _ = cloud_of(0, n=120, d=2, radius=1.0, repeats=False)
    Z = PoincareBall(1.0).expmap0(X)
    # the last three are outshone by the first, wherever a point lies
    init = np.r_[[[0.0, 0.0]], np.full((3, 2), 0.7) + np.arange(3)[:, None] * 1e-3]
    assert_array_equal(twins.assign(PoincareBall(1.0), Z, init)[0], np.zeros(120))
    inertia = np.inf
    for max_iter in (1, 2, 300):
        model = fit(Z, 4, init=init, input_geometry="ball", max_iter=max_iter)
        assert len(np.unique(model.labels_)) == 4
        assert model.inertia_ < inertia
        inertia = model.inertia_
    assert not np.any(np.all(np.isclose(model.cluster_centers_, 0), axis=1))


def test_n_init_keeps_the_best():
    X, _ = make_tree(200, 3, noise=0.3, random_state=0)
    rng = np.random.RandomState(0)
    alone = [
        HyperbolicKMeans(12, random_state=rng, max_iter=3).fit(X).inertia_
        for _ in range(6)
    ]
    rng = np.random.RandomState(0)
    best = HyperbolicKMeans(12, n_init=6, random_state=rng, max_iter=3).fit(X)
    assert len(set(alone)) > 1
    assert best.inertia_ == min(alone)


def test_curvature_auto_puts_the_median_point_half_a_radius_out():
    X, _ = cloud_of(0)
    for scale in (1e-6, 1.0, 1e6):
        model = HyperbolicKMeans(3, random_state=0).fit(scale * X)
        length = np.linalg.norm(scale * X, axis=1)
        middle = np.quantile(length, 0.5, method="inverted_cdf")
        assert 2 * model.curvature_**0.5 * middle == pytest.approx(0.5)


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-4])
def test_tol_is_relative_to_the_variance_of_a_feature(tol):
    X, _ = cloud_of(3, n=200)
    weight = np.where(X[:, 0] > 0.5, 1000.0, 1.0)
    ball = PoincareBall(1.0)
    Z = ball.expmap0(X)
    center = ball.midpoint(Z, weight)
    chords = [twins.chord(ball, z, center) for z in Z]
    threshold = tol * np.average(chords, weights=weight) / X.shape[1]
    before, shifts = Z[:5], []
    while not shifts or shifts[-1] > threshold:
        model = fit(X, 5, weight, init=X[:5], max_iter=len(shifts) + 1)
        after = ball.expmap0(model.cluster_centers_)
        shifts.append(np.sum(ball.sq_chord(before, after)))
        before = after
    assert fit(X, 5, weight, init=X[:5], tol=tol).n_iter_ == len(shifts)
    assert len(shifts) > 1


@pytest.mark.parametrize("init", ["k-means++", "array"])
def test_repeated_rows_give_fewer_clusters_and_a_warning(init):
    X = np.repeat([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], 5, axis=0)
    start = init if init == "k-means++" else np.arange(10.0).reshape(5, 2)
    model = HyperbolicKMeans(5, init=start, random_state=0)
    with pytest.warns(ConvergenceWarning, match="n_clusters=5, but only 3"):
        model.fit(X)
    assert len(np.unique(model.labels_)) == 3
    assert model.inertia_ == pytest.approx(0, abs=1e-12)
    assert np.isfinite(model.cluster_centers_).all()


def test_constant_rows():
    with pytest.warns(ConvergenceWarning, match="only 1 cluster"):
        model = HyperbolicKMeans(4, random_state=0).fit(np.ones((9, 2)))
    assert_array_equal(model.labels_, np.zeros(9))
    assert_allclose(model.cluster_centers_, [[1.0, 1.0]])


@quick
@given(seed=SEEDS)
def test_seeding_never_takes_a_point_twice(seed):
    X, weight = cloud_of(seed)
    ball = PoincareBall(1.0)
    cloud = Cloud(ball, ball.expmap0(X), weight)
    n_distinct = len(np.unique(cloud.Z, axis=0))
    seeds = seed_centers(cloud, 60, np.random.RandomState(seed))
    assert len(np.unique(seeds, axis=0)) == len(seeds) == n_distinct


@quick
@given(seed=SEEDS, radius=st.sampled_from([1e-3, 1.0, 8.0, 14.0]))
def test_seeding_measures_by_the_objective(seed, radius):
    X, weight = cloud_of(seed, radius=radius)
    # neighbours too close for a matrix product
    X[1::4] = X[::4] * (1 + 1e-7)
    ball = PoincareBall(1.0)
    cloud = Cloud(ball, ball.expmap0(X), weight)
    costs = _ChordsToPoints(cloud).to(np.arange(5))
    pairs = [[twins.chord(ball, x, y) for y in cloud.Z] for x in cloud.Z[:5]]
    assert_allclose(costs, np.array(pairs) * weight, rtol=1e-3)


def test_seeding_draws_as_its_definition_says():
    """Frequencies of the second seed equal those of greedy k-means++ by hand."""
    ball = PoincareBall(1.0)
    Z = np.array([[-0.5], [0.0], [0.3], [0.9]])
    weight = np.array([1.0, 2.0, 1.0, 0.5])
    cost = np.array([[twins.chord(ball, x, y) for y in Z] for x in Z]) * weight
    # two seeds are drawn among 2 + int(log 2) = 2 candidates
    expected = np.zeros((4, 4))
    for i in range(4):
        draw = cost[i] / cost[i].sum()
        left = np.minimum(cost[i], cost).sum(axis=1)
        for a in range(4):
            for b in range(4):
                best = a if left[a] <= left[b] else b
                expected[i, best] += weight[i] / weight.sum() * draw[a] * draw[b]
    assert expected.sum() == pytest.approx(1)
    cloud, rng, n = Cloud(ball, Z, weight), np.random.RandomState(0), 4000
    seen = np.zeros((4, 4))
    for _ in range(n):
        pair = seed_centers(cloud, 2, rng)
        seen[tuple(np.searchsorted(Z[:, 0], pair[:, 0]))] += 1 / n
    error = np.sqrt(expected * (1 - expected) / n)
    assert np.all(np.abs(seen - expected) <= 4.5 * error)


def test_silent_when_all_is_well():
    X, _ = make_tree(100, 4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HyperbolicKMeans(5, n_init=2, random_state=0).fit(X)
