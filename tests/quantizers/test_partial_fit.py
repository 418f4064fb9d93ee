"""Learning from chunks: sums are additions, and nothing rises, forgets or mixes up."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from skhyper import io
from skhyper.datasets import load_naics, make_tree
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.manifolds._residual import RESIDUAL_RULES
from skhyper.quantizers import (
    HyperbolicKMeans,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
)
from skhyper.quantizers._levels import HALF_LIFE
from skhyper.quantizers._lloyd import Cloud
from skhyper.quantizers._online import absorb, masses

from . import twins

SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15)


def kmeans(**parameters):
    return HyperbolicKMeans(**{"n_clusters": 6, "random_state": 0, **parameters})


def rq(**parameters):
    defaults = {"n_levels": 2, "codebook_size": 6, "random_state": 0}
    return ResidualQuantizer(**{**defaults, **parameters})


def hrq(**parameters):
    defaults = {"n_levels": 2, "codebook_size": 6, "random_state": 0}
    return HyperbolicResidualQuantizer(**{**defaults, **parameters})


every = pytest.mark.parametrize("make", [kmeans, rq, hrq])
coders = pytest.mark.parametrize("make", [rq, hrq])


def tree(n_samples=240, n_features=4, seed=0):
    X, _ = make_tree(n_samples, n_features, branching=3, random_state=seed)
    return X


def blobs(n_samples, n_blobs, n_features=8, seed=0, spread=0.05):
    """Rows around far apart centers, and the number of each row's blob."""
    rng = np.random.RandomState(seed)
    centers = rng.normal(size=(n_blobs, n_features))
    blob = np.r_[np.arange(n_blobs), rng.randint(n_blobs, size=n_samples - n_blobs)]
    return centers[blob] + spread * rng.normal(size=(n_samples, n_features)), blob


def stream(model, X, size, n_passes=1):
    """Give `X` to `partial_fit` in chunks of `size` rows, `n_passes` times over."""
    for _ in range(n_passes):
        for start in range(0, len(X), size):
            model.partial_fit(X[start : start + size])
    return model


def codes_of(model):
    """The fitted codes of all levels, in one array."""
    books = getattr(model, "codebooks_", None) or [model.cluster_centers_]
    return np.vstack(books)


def error(model, X):
    """What `score` is minus of."""
    return -model.score(X)


def assert_same_state(model, twin):
    assert vars(model).keys() == vars(twin).keys()
    for name, value in vars(model).items():
        np.testing.assert_equal(vars(twin)[name], value, name)


# -- the update --------------------------------------------------------------------


@quick
@given(seed=SEEDS, c=st.sampled_from([0.01, 0.3, 2.7]))
def test_kmeans_adds_up_lorentz_sums(seed, c):
    X, ball = tree(seed=seed) / c**0.5, PoincareBall(c)
    first, *chunks = np.split(X, 4)
    model = kmeans(n_clusters=3, curvature=c, tol=0).fit(first)
    Z, centers = ball.expmap0(first), ball.expmap0(model.cluster_centers_)
    sums = twins.cluster_sums(ball, Z, np.ones(len(Z)), model.labels_, 3)
    weights = np.random.RandomState(seed).choice([0.5, 1.0, 3.0], size=60)
    for chunk in chunks:
        Z = ball.expmap0(chunk)
        labels, _ = twins.assign(ball, Z, centers)
        assume(len(np.unique(labels)) == 3)
        sums += twins.cluster_sums(ball, Z, weights, labels, 3)
        centers = np.array([twins.on_the_sheet(ball, total) for total in sums])
        model.partial_fit(chunk, sample_weight=weights)
        assert_allclose(ball.expmap0(model.cluster_centers_), centers, atol=1e-9)
        labels, costs = twins.assign(ball, Z, centers)
        assert_array_equal(model.labels_, labels)
        assert model.inertia_ == pytest.approx(costs @ weights)


@quick
@given(seed=SEEDS)
@pytest.mark.parametrize("residual", ["exact", "paper", "tangent"])
def test_each_level_adds_up_faded_lorentz_sums(residual, seed):
    X, ball, rule = tree(seed=seed), PoincareBall(0.3), RESIDUAL_RULES[residual]
    first, *chunks = np.split(X, 4)
    model = hrq(codebook_size=3, curvature=0.3, residual=residual, tol=0).fit(first)
    books, rest, sums = model.codebooks_, ball.expmap0(first), []
    for level, column in enumerate(model.transform(first).T):
        sums.append(twins.cluster_sums(ball, rest, np.ones(60), column, 3))
        rest = rule.subtract(ball, rest, books[level][column])
    fade = 0.5 ** (60 / (3 * HALF_LIFE))
    for chunk in chunks:
        rest = ball.expmap0(chunk)
        codes = twins.greedy_codes(rule, ball, books, rest)
        assume(all(len(np.unique(column)) == 3 for column in codes.T))
        books = []
        for level, column in enumerate(codes.T):
            new = twins.cluster_sums(ball, rest, np.ones(60), column, 3)
            sums[level] = fade * sums[level] + new
            books.append(np.array([twins.on_the_sheet(ball, s) for s in sums[level]]))
            rest = rule.subtract(ball, rest, books[level][column])
        model.partial_fit(chunk)
        for ours, theirs in zip(model.codebooks_, books, strict=True):
            assert_allclose(ours, theirs, atol=1e-9)
        assert_array_equal(model.labels_, model.predict(chunk))


def test_flat_levels_are_faded_means():
    X = tree()
    model = rq(codebook_size=2, tol=0).fit(X[:120])
    before, codes = model.codebooks_, model.transform(X[:120])
    chunk = model.transform(X[120:])
    fade = 0.5 ** (120 / (2 * HALF_LIFE))
    model.partial_fit(X[120:])
    old, new = X[:120], X[120:]
    for level in range(2):
        for k in range(2):
            ours, theirs = old[codes[:, level] == k], new[chunk[:, level] == k]
            total = fade * ours.sum(axis=0) + theirs.sum(axis=0)
            mean = total / (fade * len(ours) + len(theirs))
            assert_allclose(model.codebooks_[level][k], mean, atol=1e-9)
        old = old - before[level][codes[:, level]]
        new = new - model.codebooks_[level][chunk[:, level]]


@quick
@given(seed=SEEDS, size=st.integers(30, 200))
@pytest.mark.parametrize("curvature", [1e-8, 1.0])
def test_unmistakable_clusters_end_up_as_in_fit(curvature, seed, size):
    """Chunks are additions: where labels never change, any split gives the whole."""
    X, blob = blobs(400, 6, seed=seed, spread=0.01)
    gaps = [np.linalg.norm(X[blob == a][0] - X[blob == b][0]) for a, b in PAIRS]
    assume(min(gaps) > 0.5)
    options = {"curvature": curvature, "n_init": 5}
    whole, first = (kmeans(**options).fit(rows) for rows in (X, X[:size]))
    for model in (whole, first):  # neither may have two centers in one blob
        pairs = np.c_[model.labels_, blob[: len(model.labels_)]]
        assume(len(np.unique(pairs, axis=0)) == 6)
    parts = stream(kmeans(**options), X, size)
    order = whole.predict(parts.cluster_centers_)
    assert sorted(order) == list(range(6))
    assert_allclose(
        parts.cluster_centers_, whole.cluster_centers_[order], atol=1e-9, rtol=1e-9
    )


PAIRS = [(a, b) for a in range(6) for b in range(a)]


@quick
@given(seed=SEEDS, c=st.sampled_from([0.0, 0.3, 50.0]))
def test_a_code_stands_for_its_rows(seed, c):
    """What the rows behind a code cost elsewhere follows from its mass alone."""
    rng = np.random.RandomState(seed)
    manifold = PoincareBall(c) if c else Euclidean()
    Z = manifold.expmap0(rng.normal(size=(30, 3)) / max(c, 1.0) ** 0.5)
    weight = rng.uniform(0.1, 3, size=30)
    center = manifold.midpoint(Z, weight)
    cloud, labels = Cloud(manifold, Z, weight), np.zeros(30, int)
    mass = masses(cloud, labels, cloud.cost(labels, center[None]), 1)
    for other in Z[:5]:
        rise = weight @ (manifold.sq_chord(Z, other) - manifold.sq_chord(Z, center))
        assert rise == pytest.approx(mass[0] * manifold.sq_chord(center, other))


@quick
@given(seed=SEEDS, c=st.sampled_from([0.0, 0.3, 1.0]), n_rows=st.integers(1, 12))
def test_the_objective_over_all_rows_never_rises(seed, c, n_rows):
    rng = np.random.RandomState(seed)
    manifold = PoincareBall(c) if c else Euclidean()
    codes = manifold.expmap0(rng.normal(size=(20, 3)))
    codes[5:10] = codes[:5]  # idle copies, with masses of their own
    mass = rng.choice([0.0, 0.01, 1.0, 100.0], size=20)
    Z = manifold.expmap0(rng.normal(size=(n_rows, 3)))
    weight = rng.choice([0.5, 1.0, 3.0], size=n_rows)
    labels = manifold.nearest(Z, codes)
    before = weight @ manifold.sq_chord(Z, codes[labels])

    def cost(moved):
        """Rows and codes at the nearest of the codes as they are now."""
        points, weights = np.vstack([Z, codes]), np.r_[weight, mass]
        nearest = moved.codes[manifold.nearest(points, moved.codes)]
        return weights @ manifold.sq_chord(points, nearest)

    moved = absorb(Cloud(manifold, Z, weight), labels, codes, mass)
    assert cost(moved) <= before * (1 + 1e-9)
    assert moved.mass.sum() >= (weight.sum() + mass.sum()) * (1 - 1e-9)


def test_idle_codes_move_to_costly_rows_if_that_pays():
    codes = np.array([[0.0], [0.01], [10.0], [50.0]])
    mass = np.array([5.0, 5.0, 5.0, 1.0])
    Z = np.array([[0.0], [11.0], [13.0]])
    flat = Cloud(Euclidean(), Z, np.ones(3))
    moved = absorb(flat, np.array([0, 2, 2]), codes, mass)
    # code 1 goes to the costliest row, and leaves its mass to code 0; code 3 would
    # cost 40^2 to lose, and the row at 11 is worth 1
    assert_array_equal(moved.labels, [0, 2, 1])
    assert_allclose(moved.codes[:, 0], [0.05 / 11, 13.0, 61 / 6, 50.0])
    assert_allclose(moved.mass, [11.0, 1.0, 6.0, 1.0])


# -- the first rows ----------------------------------------------------------------


@every
def test_rows_wait_until_they_suffice(make):
    X = tree(20)
    model = make()
    for chunk in (X[:3], X[:3], X[2:5]):
        assert model.partial_fit(chunk) is model
        for method in ("transform", "predict", "score"):
            with pytest.raises(NotFittedError):
                getattr(model, method)(X)
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
        assert not hasattr(model, "labels_")
        assert len(model._waiting["X"]) <= 5  # repeats are merged
    model.partial_fit(X[5:8])
    check_is_fitted(model)
    assert not hasattr(model, "_waiting")
    assert_array_equal(model.labels_, model.predict(X[5:8]))
    assert model.n_features_in_ == 4


@every
def test_the_start_is_a_fit_of_all_that_waited(make):
    X = tree(64)
    repeated = np.r_[X[:4], X[:5], X]
    model = make().partial_fit(X[:4]).partial_fit(X[:5]).partial_fit(X)
    whole = make().fit(repeated)
    assert_allclose(codes_of(model), codes_of(whole), atol=1e-12)
    assert_array_equal(model.predict(X), whole.predict(X))
    assert model.n_iter_ == whole.n_iter_


@coders
def test_sizes_are_as_asked_for_from_the_start(make):
    X = tree(200)
    model = make(codebook_size=[30, 40]).partial_fit(X[:40])
    assert [len(codebook) for codebook in model.codebooks_] == [30, 40]
    # so few residuals were left for the second level
    assert model.codebook_usage_[1] < 0.7
    stream(model, X, 50).partial_fit(X)
    assert [len(codebook) for codebook in model.codebooks_] == [30, 40]
    assert model.codebook_usage_.min() > 0.9


@pytest.mark.parametrize("make", [kmeans, hrq])
def test_the_curvature_is_settled_once(make):
    X = tree()
    curvature = make().fit(X[:100]).curvature_
    model = make().partial_fit(X[:3]).partial_fit(X[3:100])
    assert model.curvature_ == curvature
    assert model.partial_fit(100 * X[100:]).curvature_ == curvature


# -- going on ----------------------------------------------------------------------


@every
def test_fit_goes_on_and_fit_starts_anew(make):
    X = tree()
    model = make().fit(X[:120])
    before = codes_of(model)
    model.partial_fit(X[120:])
    assert np.any(codes_of(model) != before)
    assert_allclose(codes_of(model), before, atol=1.0)
    fresh = make().fit(X)
    assert_same_state(model.fit(X), fresh)
    assert_same_state(make().partial_fit(X[:3]).fit(X), fresh)


@every
@pytest.mark.parametrize("way", ["pickle", "file"])
def test_a_copy_goes_on_as_the_original(make, way, tmp_path):
    X = tree()
    model = make().partial_fit(X[:4])
    twin = pickle.loads(pickle.dumps(model))
    for chunk in np.split(X, 4):
        model.partial_fit(chunk)
        twin.partial_fit(chunk)
        assert_same_state(twin, model)
        if way == "pickle":
            twin = pickle.loads(pickle.dumps(twin))
        else:
            io.save(twin, tmp_path / "model")
            twin = io.load(tmp_path / "model")


@every
def test_rows_that_wait_cannot_be_saved(make, tmp_path):
    with pytest.raises(NotFittedError):
        io.save(make().partial_fit(tree(3)), tmp_path / "model")


@every
def test_read_only_models_can_go_on(make):
    X = tree()
    model, twin = make().fit(X[:120]), make().fit(X[:120])
    for array in [*getattr(model, "codebooks_", []), *getattr(model, "_masses", [])]:
        array.setflags(write=False)
    assert_array_equal(
        codes_of(model.partial_fit(X[120:])), codes_of(twin.partial_fit(X[120:]))
    )


@every
def test_order_within_a_chunk_does_not_matter(make):
    X, order = tree(), np.random.RandomState(0).permutation(80)
    models = [make().partial_fit(X[:160]) for _ in range(2)]
    for model, rows in zip(models, (X[160:], X[160:][order]), strict=True):
        model.partial_fit(rows)
    assert codes_of(models[0]).tobytes() == codes_of(models[1]).tobytes()
    assert_array_equal(models[1].labels_, models[0].labels_[order])


@every
def test_zero_weights_are_absent_and_their_scale_does_not_matter(make):
    X = tree()
    weight = np.random.RandomState(0).randint(3, size=240).astype(float)
    a, b, first = np.arange(0, 120), np.arange(120, 240), make()
    for rows in (a, b):
        first.partial_fit(X[rows], sample_weight=weight[rows])
    absent = make()
    for rows in (a[weight[a] > 0], b[weight[b] > 0]):
        absent.partial_fit(X[rows], sample_weight=weight[rows])
    assert codes_of(absent).tobytes() == codes_of(first).tobytes()
    for scale in (1e-290, 1e290):
        scaled = make()
        for rows in (a, b):
            scaled.partial_fit(X[rows], sample_weight=scale * weight[rows])
        assert_allclose(codes_of(scaled), codes_of(first), rtol=1e-9, atol=1e-9)


@every
def test_weights_count_across_chunks(make):
    X = tree()
    heavy, light = (
        make().fit(X[:120]).partial_fit(X[120:], sample_weight=np.full(120, w))
        for w in (1e6, 1e-6)
    )
    start = codes_of(make().fit(X[:120]))
    assert np.abs(codes_of(light) - start).max() < 1e-3
    assert np.abs(codes_of(heavy) - start).max() > 1e-2


def test_weights_are_repeats():
    X = tree()
    weight = np.random.RandomState(0).randint(4, size=240)
    ours, repeated = kmeans(), kmeans()
    for rows in (np.arange(100), np.arange(100, 240)):
        ours.partial_fit(X[rows], sample_weight=weight[rows])
        repeated.partial_fit(np.repeat(X[rows], weight[rows], axis=0))
    assert_allclose(ours.cluster_centers_, repeated.cluster_centers_, atol=1e-9)
    assert ours.inertia_ == pytest.approx(repeated.inertia_)


@pytest.mark.parametrize("radius", [6.0, 12.0, 14.0])
def test_far_points_stay_in_the_ball(radius):
    X = radius + np.random.RandomState(0).normal(scale=0.3, size=(200, 2))
    X[:, 1] = 0.1 * X[:, 1]
    model = stream(kmeans(curvature=1.0), X, 50, 3)
    assert np.isfinite(model.cluster_centers_).all()
    Z = PoincareBall(1.0).expmap0(X)
    costs = PoincareBall(1.0).sq_chord(Z, model._centers()[model.predict(X)])
    whole = kmeans(curvature=1.0).fit(X)
    assert costs.sum() < 3 * whole.inertia_


# -- how well ----------------------------------------------------------------------


@every
def test_a_stationary_stream_comes_close_to_fit(make):
    X = load_naics().data.astype(np.float64)
    X = np.random.RandomState(0).permutation(X - X.mean(axis=0))
    shape = {"n_clusters": 32} if make is kmeans else {"codebook_size": 32}
    fitted = error(make(**shape).fit(X), X)
    model = make(**shape)
    ratios = [error(stream(model, X, 200), X) / fitted for _ in range(6)]
    assert ratios[-1] < 1.08
    assert ratios[-1] < ratios[0]
    if make is kmeans:
        return
    codes = model.transform(X)
    prefixes = [model.inverse_transform(codes[:, :m]) for m in (1, 2)]
    first, both = (np.mean((X - prefix) ** 2) for prefix in prefixes)
    assert both < 0.9 * first
    assert first < 1.05 * error(make(n_levels=1, codebook_size=32).fit(X), X)


def test_a_first_chunk_hardly_larger_than_the_codebook_is_made_up_for():
    # scikit-learn's MiniBatchKMeans, whose centers stay where they start, comes to 1.4
    X, _ = blobs(6000, 100, 16, spread=0.3)
    model = stream(kmeans(n_clusters=128), X, 150, 3)
    assert error(model, X) < 1.05 * error(kmeans(n_clusters=128).fit(X), X)


@every
def test_a_drifting_stream_is_followed(make):
    old, _ = blobs(2000, 6, seed=1)
    new, _ = blobs(4000, 6, seed=2)
    model, fresh = stream(make(), old, 200), error(make().fit(new), new)
    stale = error(model, new)
    assert stale > 100 * fresh
    stream(model, new, 200)
    if make is kmeans:  # it forgets nothing, and serves the old rows as well
        assert error(model, new) < 0.5 * stale
        return
    stream(model, new, 200)
    assert error(model, new) < 1.1 * fresh


# -- errors ------------------------------------------------------------------------


@every
@pytest.mark.parametrize("n_rows", [3, 60], ids=["waiting", "fitted"])
def test_bad_chunks_change_nothing(make, n_rows):
    X = tree()
    model = make().partial_fit(X[:n_rows])
    before = copy.deepcopy(model)
    bad = X[60:].copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.partial_fit(bad)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
        model.partial_fit(X[:, :3])
    for weight in (np.zeros(240), -np.ones(240), np.ones(239)):
        with pytest.raises(ValueError, match=r"(?i)sample.weight"):
            model.partial_fit(X, sample_weight=weight)
    assert_same_state(model, before)


@pytest.mark.parametrize("make", [kmeans, hrq])
@pytest.mark.parametrize("n_rows", [0, 3, 60])
def test_bad_points_are_refused_even_if_they_would_wait(make, n_rows):
    Z = PoincareBall(1.0).expmap0(tree() / 3)
    model = make(input_geometry="ball")
    if n_rows:
        model.partial_fit(Z[:n_rows])
    with pytest.raises(ValueError, match="1 of 2 points outside the Poincare ball"):
        model.partial_fit(np.r_[Z[:1], [[2.0, 0.0, 0.0, 0.0]]])
    model.partial_fit(Z)


@pytest.mark.parametrize("make", [rq, hrq])
def test_refit_needs_all_rows(make):
    X = tree()
    model = make(refit=True)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(ValueError, match=r"refit=True .* use fit, or set refit=False"):
        model.partial_fit(X)
    assert not hasattr(model, "n_features_in_")


def test_partial_fit_can_follow_a_fit_with_refit():
    X = tree()
    model = rq(refit=True, beam_size=2).fit(X).set_params(refit=False)
    assert error(model.partial_fit(X), X) < 1.1 * error(rq(beam_size=2).fit(X), X)


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (kmeans, {"n_clusters": 5}),
        (kmeans, {"curvature": 3.0}),
        (rq, {"codebook_size": 5}),
        (rq, {"codebook_size": [7, 5]}),
        (rq, {"n_levels": 3}),
        (hrq, {"codebook_size": 5}),
        (hrq, {"curvature": 3.0}),
    ],
)
def test_changed_parameters_are_refused(make, change):
    X = tree()
    model = make().partial_fit(X)
    (name,) = change
    value, old = change[name], model.get_params()[name]
    model.set_params(**change)
    shown = "codebook_size" if name == "n_levels" else name
    with pytest.raises(ValueError, match=rf"{shown}=.*Set {shown} back, or call fit"):
        model.partial_fit(X)
    if not isinstance(value, list):
        model.set_params(**{name: old}).partial_fit(X)
    assert clone(model).set_params(**change).fit(X) is not model


@coders
def test_a_beam_encodes_the_chunks(make):
    X = tree()
    beam = {"n_levels": 3, "beam_size": 4}
    model = stream(make(**beam), X, 60, 5)
    assert_array_equal(model.labels_, model.predict(X[180:]))
    assert error(model, X) < 1.2 * error(make(**beam).fit(X), X)


@every
def test_codebooks_may_grow(make):
    """Also those that a fit to few rows has left short: the user changed nothing."""
    X = tree()
    size = "n_clusters" if make is kmeans else "codebook_size"
    model = make().fit(X)
    before = error(model, X)
    model.set_params(**{size: 24})
    for _ in range(3):
        model.partial_fit(X)
    assert error(model, X) < 0.8 * before
    with pytest.warns(ConvergenceWarning):
        short = make().fit(X[:4])
    before = error(short, X)
    for _ in range(10):
        short.partial_fit(X)
    assert error(short, X) < min(0.8 * before, 2 * error(make().fit(X), X))


@every
def test_a_fit_that_fails_forgets_rows_that_wait(make):
    X = tree()
    model = make().partial_fit(X[:3])
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X[:, :4], sample_weight=np.full(len(X), -1.0))
    assert model.partial_fit(X[:, :4]).predict(X[:, :4]).shape == (len(X),)
