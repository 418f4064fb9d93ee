"""Residual quantizers against slow twins, brute force and the laws of telescoping."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from skhyper.datasets import load_naics, make_tree
from skhyper.manifolds import Euclidean, PoincareBall, poincare_to_lorentz
from skhyper.manifolds._residual import RESIDUAL_RULES
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer

from . import twins

SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=8)
RULES = ["exact", "paper", "tangent"]


def tree(n_samples=200, n_features=5, seed=0):
    X, _ = make_tree(n_samples, n_features, branching=3, random_state=seed)
    return X


def hrq(n_levels=3, codebook_size=6, **parameters):
    parameters = {"random_state": 0, "n_init": 1, **parameters}
    return HyperbolicResidualQuantizer(n_levels, codebook_size, **parameters)


def rq(n_levels=3, codebook_size=6, **parameters):
    parameters = {"random_state": 0, "n_init": 1, **parameters}
    return ResidualQuantizer(n_levels, codebook_size, **parameters)


def points(model, X):
    return PoincareBall(model.curvature_).expmap0(X)


def prefix_error(model, X, weight=None):
    """Squared error of features, summed over all prefixes."""
    codes = model.transform(X)
    return sum(
        np.average(
            np.sum((X - model.inverse_transform(codes[:, :m])) ** 2, axis=1),
            weights=weight,
        )
        for m in range(1, codes.shape[1] + 1)
    )


def test_encoding_is_a_chain_of_scikit_learns_kmeans():
    X = tree()
    model = rq(3, [4, 7, 5]).fit(X)
    rest, columns = X, []
    for codebook in model.codebooks_:
        flat = KMeans(len(codebook), init=codebook, n_init=1, max_iter=1).fit(X)
        flat.cluster_centers_ = codebook
        columns.append(flat.predict(rest))
        rest = rest - codebook[columns[-1]]
    codes = model.transform(X)
    assert_array_equal(codes, np.column_stack(columns))
    assert_allclose(model.inverse_transform(codes), X - rest, atol=1e-12)
    assert model.score(X) == pytest.approx(-np.mean(rest**2))


def test_each_level_is_a_local_optimum_of_kmeans():
    X = tree()
    model = rq(2, 5, tol=0, max_iter=300).fit(X)
    rest = X
    for level, codebook in enumerate(model.codebooks_):
        labels = model.transform(X)[:, level]
        means = [rest[labels == k].mean(axis=0) for k in range(len(codebook))]
        assert_allclose(codebook, means, atol=1e-9)
        rest = rest - codebook[labels]


@quick
@given(seed=SEEDS, c=st.sampled_from([0.01, 0.3, 2.7]))
@pytest.mark.parametrize("residual", RULES)
def test_encoding_and_decoding_equal_the_slow_twin(residual, seed, c):
    X = tree(60, 3, seed)
    model = hrq(residual=residual, curvature=c).fit(X)
    ball, rule = PoincareBall(c), RESIDUAL_RULES[residual]
    Z = ball.expmap0(X)
    codes = model.transform(X)
    twin = twins.greedy_codes(rule, ball, model.codebooks_, Z)
    assert_array_equal(codes, twin)
    a, b, q = (model.codebooks_[i][codes[:, i]] for i in range(3))
    folded = {
        "exact": lambda: ball.add(a, ball.add(b, q)),
        "paper": lambda: ball.add(ball.add(a, b), q),
        "tangent": lambda: ball.expmap0(sum(map(ball.logmap0, (a, b, q)))),
    }[residual]()
    assert_allclose(model.inverse_transform(codes), ball.logmap0(folded), atol=1e-9)


@pytest.mark.parametrize("residual", RULES)
@pytest.mark.parametrize("beam_size", [1, 4])
def test_flat_limit_is_residual_quantizer(residual, beam_size):
    X = tree()
    flat = rq(beam_size=beam_size).fit(X)
    curved = hrq(beam_size=beam_size, residual=residual, curvature=1e-8).fit(X)
    for one, other in zip(curved.codebooks_, flat.codebooks_, strict=True):
        assert_allclose(one, other, atol=1e-6)
    codes = flat.transform(X)
    assert_array_equal(curved.transform(X), codes)
    assert_allclose(
        curved.inverse_transform(codes), flat.inverse_transform(codes), atol=1e-6
    )
    assert curved.score(X) == pytest.approx(flat.score(X), rel=1e-6)


@quick
@given(seed=SEEDS, c=st.sampled_from([0.01, 0.3, 2.7]))
def test_exact_residuals_telescope(seed, c):
    X = tree(100, 4, seed)
    model = hrq(4, curvature=c).fit(X)
    ball = PoincareBall(c)
    Z = rest = ball.expmap0(X)
    codes = model.transform(X)
    for m in range(1, 5):
        rest = ball.add(-model.codebooks_[m - 1][codes[:, m - 1]], rest)
        Z_hat = ball.expmap0(model.inverse_transform(codes[:, :m]))
        tracked = ball.dist(np.zeros_like(rest), rest)
        assert_allclose(ball.dist(Z_hat, Z), tracked, atol=1e-9 / c**0.5, rtol=1e-9)


def test_residuals_of_the_paper_drift():
    """The published order does not telescope: the decoder sees a point farther off."""
    X = tree()
    model = hrq(4, 8, residual="paper", curvature=0.3).fit(X)
    ball = PoincareBall(0.3)
    Z = rest = ball.expmap0(X)
    codes = model.transform(X)
    for level, codebook in enumerate(model.codebooks_):
        rest = ball.add(rest, -codebook[codes[:, level]])
    believed = np.mean(ball.dist(np.zeros_like(rest), rest))
    true = np.mean(ball.dist(ball.expmap0(model.inverse_transform(codes)), Z))
    assert true > 1.1 * believed
    exact = hrq(4, 8, curvature=0.3).fit(X)
    Z_hat = ball.expmap0(exact.inverse_transform(exact.transform(X)))
    assert np.mean(ball.dist(Z_hat, Z)) < true


def test_tangent_levels_add_up():
    X = tree()
    model = hrq(residual="tangent", curvature=0.3).fit(X)
    codes = model.transform(X)
    logs = [PoincareBall(0.3).logmap0(codebook) for codebook in model.codebooks_]
    total = sum(log[column] for log, column in zip(logs, codes.T, strict=True))
    assert_allclose(model.inverse_transform(codes), total, atol=1e-9)


def errors_of_rows(model, X, codes):
    """What encoding minimises: the squared chord of points, of all the levels."""
    ball = PoincareBall(model.curvature_) if hasattr(model, "curvature_") else None
    X_hat = model.inverse_transform(codes)
    if ball is None:
        return Euclidean().sq_chord(X_hat, X)
    return ball.sq_chord(ball.expmap0(X_hat), ball.expmap0(X))


@pytest.mark.parametrize(
    "model",
    [rq(), *(hrq(residual=rule, curvature=0.3) for rule in RULES)],
    ids=["flat", *RULES],
)
def test_a_beam_is_never_worse_and_sometimes_better(model):
    X = tree(300)
    greedy = model.fit(X).transform(X)
    alone = errors_of_rows(model, X, greedy)
    for beam_size in (2, 3, 16):
        beam = model.set_params(beam_size=beam_size).transform(X)
        wide = errors_of_rows(model, X, beam)
        assert np.all(wide <= alone * (1 + 1e-12))
        assert np.any(wide < 0.999 * alone)
        same = np.all(beam == greedy, axis=1)
        assert_array_equal(wide[same], alone[same])


@pytest.mark.parametrize("beam_size", [2, 5])
@pytest.mark.parametrize("residual", ["flat", *RULES])
def test_beam_equals_the_slow_twin(residual, beam_size):
    # random codes, far out, at many levels: a narrow beam loses to the greedy path
    rng = np.random.RandomState(0)
    X = rng.normal(size=(80, 3))
    flat = residual == "flat"
    options = {} if flat else {"residual": residual, "curvature": 0.5}
    model = (rq if flat else hrq)(5, 4, **options).fit(X)
    model.set_params(beam_size=beam_size)
    manifold = Euclidean() if flat else PoincareBall(0.5)
    tangents = [rng.normal(scale=0.8**m, size=(4, 3)) for m in range(5)]
    model.codebooks_ = [manifold.expmap0(tangent) for tangent in tangents]
    rule = RESIDUAL_RULES["exact" if flat else residual]
    expected = [
        twins.beam_code(rule, manifold, model.codebooks_, z, beam_size)
        for z in manifold.expmap0(X)
    ]
    assert_array_equal(model.transform(X), expected)


@pytest.mark.parametrize(
    "model",
    [rq(3, [3, 2, 3]), *(hrq(3, [3, 2, 3], residual=r, curvature=0.3) for r in RULES)],
    ids=["flat", *RULES],
)
def test_an_exhaustive_beam_finds_the_best_code(model):
    X = tree(150)
    model.fit(X).set_params(beam_size=18)
    every = np.array(list(product(range(3), range(2), range(3))))
    errors = np.array(
        [errors_of_rows(model, X, np.tile(code, (len(X), 1))) for code in every]
    )
    found = errors_of_rows(model, X, model.transform(X))
    assert_allclose(found, errors.min(axis=0), rtol=1e-9)


@quick
@given(seed=SEEDS, weighted=st.booleans(), beam_size=st.sampled_from([1, 3]))
@pytest.mark.parametrize("kind", ["flat", "tangent"])
def test_refit_never_raises_the_error_of_the_prefixes(kind, seed, weighted, beam_size):
    X = tree(80, 4, seed)
    weight = np.ones(80)
    if weighted:
        weight = np.random.RandomState(seed).randint(5, size=80)
    make, options = rq, {"beam_size": beam_size}
    if kind == "tangent":
        make, options = hrq, {**options, "residual": "tangent", "curvature": 4.0}
    before, after = (
        make(refit=refit, **options).fit(X, sample_weight=weight)
        for refit in (False, True)
    )
    old, new = (prefix_error(model, X, weight) for model in (before, after))
    assert new <= old * (1 + 1e-9)


@pytest.mark.parametrize("residual", [None, "tangent"])
def test_refit_lowers_the_error_of_the_prefixes(residual):
    X = load_naics().data[::3].astype(np.float64)
    make = rq if residual is None else hrq
    options = {} if residual is None else {"residual": residual}
    before = make(3, 16, **options).fit(X)
    after = make(3, 16, refit=True, **options).fit(X)
    assert prefix_error(after, X) < 0.999 * prefix_error(before, X)
    assert after.score(X) > before.score(X)


@pytest.mark.parametrize("residual", ["exact", "paper"])
def test_refit_needs_levels_that_add_up(residual):
    message = f"refit=True needs levels that add up, and residual='{residual}'"
    with pytest.raises(ValueError, match=message):
        hrq(residual=residual, refit=True).fit(tree())


@pytest.mark.parametrize("sizes", [[2, 4, 8], (8, 4, 2), np.array([3, 1, 5])])
@pytest.mark.parametrize("make", [rq, hrq])
def test_one_codebook_size_a_level(make, sizes):
    X = tree()
    model = make(3, sizes).fit(X)
    assert [len(codebook) for codebook in model.codebooks_] == list(sizes)
    codes = model.transform(X)
    assert_array_equal(codes.min(axis=0), 0)
    assert_array_equal(codes.max(axis=0), np.array(sizes) - 1)


@pytest.mark.parametrize("make", [rq, hrq])
def test_predict_joins_tokens_in_mixed_radix(make):
    X = tree()
    model = make(3, [4, 7, 5]).fit(X)
    codes = model.transform(X)
    a, b, c = codes.T
    assert_array_equal(model.predict(X), a)
    assert_array_equal(model.predict(X, depth=2), 7 * a + b)
    assert_array_equal(model.predict(X, depth=np.int64(3)), 35 * a + 5 * b + c)
    assert_array_equal(model.labels_, a)
    assert_array_equal(make(3, [4, 7, 5]).fit_predict(X), a)
    for depth in (0, 4, -1, 1.5, "2", None):
        with pytest.raises(ValueError, match=r"depth=.* from 1 to 3"):
            model.predict(X, depth=depth)


def test_labels_that_would_overflow_are_refused():
    X = tree(40, 2)
    model = rq(64, 2).fit(np.r_[X, -X])
    # 63 binary levels fill int64 to its last bit
    codes = model.transform(X)
    assert model._sizes() == [2] * 64
    expected = [int("".join(map(str, row[:63])), 2) for row in codes]
    assert model.predict(X, depth=63).tolist() == expected
    with pytest.raises(ValueError, match=r"depth=64 .* 2\*\*63 .* smaller depth"):
        model.predict(X, depth=64)


@pytest.mark.parametrize("geometry", ["tangent", "ball", "lorentz"])
def test_score_is_the_error_in_the_input_space(geometry):
    X = tree() / 3
    ball = PoincareBall(1.0)
    Z = ball.expmap0(X)
    D = {"tangent": X, "ball": Z, "lorentz": poincare_to_lorentz(Z)}[geometry]
    weight = np.random.RandomState(0).uniform(size=len(X))
    model = hrq(input_geometry=geometry, curvature=1.0).fit(D)
    D_hat = model.inverse_transform(model.transform(D))
    assert D_hat.shape == D.shape
    if geometry == "tangent":
        error = np.mean((X - D_hat) ** 2, axis=1)
    else:
        Z_hat = D_hat if geometry == "ball" else D_hat[:, 1:] / (1 + D_hat[:, :1])
        error = (ball.dist(Z, Z_hat) / 2) ** 2 / X.shape[1]
    assert model.score(D) == pytest.approx(-np.mean(error))
    expected = -np.average(error, weights=weight)
    assert model.score(D, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize("make", [rq, hrq])
def test_weights_are_repeats_and_zero_is_absent(make):
    X = tree()
    weight = np.random.RandomState(0).randint(4, size=len(X))
    ours = make().fit(X, sample_weight=weight)
    repeated = make().fit(np.repeat(X, weight, axis=0))
    present = make().fit(X[weight > 0], sample_weight=3 * weight[weight > 0])
    for other in (repeated, present):
        for one, two in zip(ours.codebooks_, other.codebooks_, strict=True):
            assert_allclose(one, two, atol=1e-9)
        assert_array_equal(ours.transform(X), other.transform(X))
    assert len(ours.labels_) == len(X)
    score = repeated.score(np.repeat(X, weight, axis=0))
    assert ours.score(X, sample_weight=weight) == pytest.approx(score)


@pytest.mark.parametrize("make", [rq, hrq])
def test_order_of_the_rows_does_not_matter(make):
    X = tree()
    order = np.random.RandomState(0).permutation(len(X))
    model, shuffled = make().fit(X), make().fit(X[order])
    for one, other in zip(model.codebooks_, shuffled.codebooks_, strict=True):
        assert one.tobytes() == other.tobytes()
    assert_array_equal(shuffled.labels_, model.labels_[order])


def test_codebook_usage_counts_the_rows_that_are_present():
    X = tree()
    weight = np.where(np.arange(len(X)) < 50, 1, 0)
    # a wide beam leaves codes to nobody where there are nearly as many as rows
    with pytest.warns(ConvergenceWarning, match=r"codebook_size=40.*\[40, "):
        model = hrq(2, 40, beam_size=8).fit(X, sample_weight=weight)
    codes = model.transform(X[:50])
    sizes = [len(codebook) for codebook in model.codebooks_]
    used = [len(np.unique(column)) for column in codes.T]
    assert used[1] < sizes[1]
    assert_allclose(model.codebook_usage_, np.divide(used, sizes))


@pytest.mark.parametrize("make", [rq, hrq])
def test_n_iter_is_that_of_the_slowest_level(make):
    X = tree()
    assert make(2, 5, max_iter=1).fit(X).n_iter_ == 1
    first, both = (make(n, 5, tol=0, max_iter=100).fit(X).n_iter_ for n in (1, 2))
    assert 1 < first <= both < 100


@quick
@given(seed=SEEDS)
@pytest.mark.parametrize("make", [rq, hrq])
def test_first_level_codes_encode_to_themselves(make, seed):
    X = tree(60, 3, seed)
    model = make(2, 6).fit(X)
    grid = np.arange(6)[:, None]
    assert_array_equal(model.transform(model.inverse_transform(grid))[:, :1], grid)


def test_more_restarts_do_not_hurt_the_first_level():
    X = tree(300)
    scores = [rq(1, 12, n_init=n, max_iter=2).fit(X).score(X) for n in (1, 3, 9)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]
