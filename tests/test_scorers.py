"""The scorers against the metrics by hand, and inside scikit-learn's searches."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    r2_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skhyper import (
    HRQVAETokenizer,
    HyperbolicKMeans,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
    RQVAETokenizer,
)
from skhyper.datasets import make_tree
from skhyper.metrics import (
    make_bit_budget_scorer,
    make_collision_scorer,
    make_prefix_agreement_scorer,
)

SIZES = [3, 5, 7]
SHAPE = {"n_levels": 3, "codebook_size": SIZES, "random_state": 0}
NETWORK = {"latent_dim": 3, "hidden_layer_sizes": (8,), "max_iter": 3}
CODERS = [
    ResidualQuantizer(**SHAPE),
    HyperbolicResidualQuantizer(**SHAPE),
    RQVAETokenizer(**SHAPE, **NETWORK),
    HRQVAETokenizer(**SHAPE, **NETWORK),
]
SCORING = {
    "error": make_bit_budget_scorer(4),
    "agreement": make_prefix_agreement_scorer(),
    "collisions": make_collision_scorer(),
}
MEASURES = {
    "ami": adjusted_mutual_info_score,
    "ari": adjusted_rand_score,
    "nmi": normalized_mutual_info_score,
}
CV = KFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def data():
    """Rows to fit, others to score, and the classes of these."""
    X, labels = make_tree(200, 6, branching=3, depth=2, random_state=0)
    return X[::2], X[1::2], labels[1::2, 0]


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "in a Pipeline"])
def in_pipeline(request):
    return request.param


@pytest.fixture(scope="module", params=CODERS, ids=lambda e: type(e).__name__)
def model(request, in_pipeline, data):
    coder = clone(request.param)
    return (make_pipeline(StandardScaler(), coder) if in_pipeline else coder).fit(
        data[0]
    )


def words(codes, depth):
    return ["-".join(str(token) for token in row[:depth]) for row in codes.tolist()]


@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_bit_budget_decodes_the_levels_that_fit(model, data, n_levels):
    _, X, y = data
    X_hat = model.inverse_transform(model.transform(X)[:, :n_levels])
    expected = -((X - X_hat) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()
    least = sum(math.log2(size) for size in SIZES[:n_levels])
    most = least + math.log2(SIZES[n_levels]) if n_levels < 3 else math.inf
    for bits in (least, least + 0.1, most - 0.1):
        score = make_bit_budget_scorer(bits)(model, X)
        assert isinstance(score, float)
        assert_allclose(score, expected, rtol=1e-9)
    assert make_bit_budget_scorer(least)(model, X, y) == pytest.approx(expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("score", MEASURES)
def test_agreement_equals_scikit_learn_on_words(model, data, depth, score):
    _, X, y = data
    expected = MEASURES[score](y, words(model.transform(X), depth))
    scorer = make_prefix_agreement_scorer(depth, score)
    assert_allclose(scorer(model, X, y), expected, rtol=1e-9, atol=1e-12)
    named = np.array(["owl", "eel", "cod"])[y]
    assert_allclose(scorer(model, X, named), scorer(model, X, y), rtol=1e-12)
    default = make_prefix_agreement_scorer()(model, X, y)
    first = words(model.transform(X), 1)
    assert_allclose(default, adjusted_mutual_info_score(y, first), rtol=1e-9)


def test_collisions_equal_counted_words(model, data):
    _, X, _ = data
    codes = model.transform(X)
    for depth in (1, 2, 3, None):
        expected = len(set(words(codes, depth))) / len(X) - 1
        assert make_collision_scorer(depth)(model, X) == pytest.approx(expected)


def test_score_without_limit_is_r2_less_one(data):
    X, other, _ = data
    model = ResidualQuantizer(**SHAPE).fit(X)
    X_hat = model.inverse_transform(model.transform(other))
    expected = r2_score(other, X_hat, multioutput="variance_weighted") - 1
    for bits in (math.inf, 1000):
        score = make_bit_budget_scorer(bits)(model, other)
        assert_allclose(score, expected, rtol=1e-9)


@pytest.mark.parametrize(("size", "n_levels"), [(48, 3), (3, 7), (5, 6), (11, 5)])
def test_the_bits_of_equal_levels_hold_all_of_them(size, n_levels):
    X = np.random.default_rng(0).normal(size=(400, 4))
    model = ResidualQuantizer(n_levels, size, n_init=1, random_state=0).fit(X)
    exact = make_bit_budget_scorer(n_levels * math.log2(size))
    assert exact(model, X) == make_bit_budget_scorer(math.inf)(model, X)


def test_the_fitted_sizes_count_and_not_those_asked_for():
    X = np.repeat(np.arange(4.0), 5).reshape(-1, 1)
    with pytest.warns(UserWarning, match="codebook_size"):
        model = ResidualQuantizer(1, 16, random_state=0).fit(X)
    assert len(model.codebooks_[0]) == 4
    assert make_bit_budget_scorer(2)(model, X) == 0.0


def test_budget_turns_the_favour_for_more_levels_off(data):
    X, other, _ = data
    short, long = (ResidualQuantizer(m, 4, random_state=0).fit(X) for m in (2, 4))
    assert long.score(other) > short.score(other)
    scorer = make_bit_budget_scorer(4)
    # levels are fitted one after the other: the first two are the same
    assert scorer(long, other) == scorer(short, other)


def test_weights_are_repeats_in_the_error(data):
    X, other, _ = data
    model = ResidualQuantizer(**SHAPE).fit(X)
    weight = np.random.default_rng(0).integers(0, 4, size=len(other))
    scorer = make_bit_budget_scorer(4)
    repeated = scorer(model, np.repeat(other, weight, axis=0))
    assert_allclose(scorer(model, other, sample_weight=weight), repeated, rtol=1e-9)


@pytest.mark.parametrize("wrap", [pd.DataFrame, lambda X: X.astype(np.float32)])
def test_frames_and_float32(data, wrap):
    X, other, y = (data[0], wrap(data[1]), pd.Series(data[2]))
    model = make_pipeline(StandardScaler(), ResidualQuantizer(**SHAPE))
    model.set_output(transform="pandas").fit(wrap(X))
    codes = model.transform(other).to_numpy()
    rows = np.asarray(other, dtype=np.float64)
    X_hat = model.inverse_transform(codes[:, :2])
    error = 1 - r2_score(rows, X_hat, multioutput="variance_weighted")
    assert SCORING["error"](model, other, y) == pytest.approx(-error)
    unique = len(set(words(codes, 3))) / len(codes)
    assert SCORING["collisions"](model, other, y) == pytest.approx(unique - 1)
    agreement = adjusted_mutual_info_score(y, codes[:, 0])
    assert SCORING["agreement"](model, other, y) == pytest.approx(agreement)


def test_every_scorer_in_one_search(data):
    X, _, _ = data
    y = make_tree(200, 6, branching=3, depth=2, random_state=0)[1][::2, 0]
    model = make_pipeline(StandardScaler(), HyperbolicResidualQuantizer(2, 4, n_init=1))
    search = GridSearchCV(
        model.set_params(hyperbolicresidualquantizer__random_state=0),
        {"hyperbolicresidualquantizer__codebook_size": [3, 4]},
        scoring=SCORING,
        refit="error",
        cv=CV,
    ).fit(X, y)
    for name, scorer in SCORING.items():
        for row, params in enumerate(search.cv_results_["params"]):
            for fold, (train, test) in enumerate(CV.split(X)):
                fitted = clone(model).set_params(**params).fit(X[train])
                expected = scorer(fitted, X[test], y[test])
                got = search.cv_results_[f"split{fold}_test_{name}"][row]
                assert got == pytest.approx(expected)
    best = search.cv_results_["mean_test_error"].argmax()
    assert search.best_params_ == search.cv_results_["params"][best]


def test_every_scorer_in_cross_validate(data):
    X, _, _ = data
    y = np.arange(len(X)) % 3
    scores = cross_validate(CODERS[0], X, y, scoring=SCORING, cv=CV)
    for name, scorer in SCORING.items():
        alone = cross_val_score(CODERS[0], X, y, scoring=scorer, cv=CV)
        assert_array_equal(scores[f"test_{name}"], alone)


def test_a_search_is_scored_by_its_best_model(data):
    X, other, y = data
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ResidualQuantizer(2, random_state=0)),
        {"residualquantizer__codebook_size": [3, 4]},
        scoring=SCORING["error"],
        cv=CV,
    ).fit(X)
    for scorer in SCORING.values():
        assert scorer(search, other, y) == scorer(search.best_estimator_, other, y)
    nested = cross_val_score(search, X, scoring=SCORING["collisions"], cv=CV)
    assert np.all((nested <= 0) & (nested > -1))


def test_weights_given_to_a_search(data):
    X, _, _ = data
    y, weight = np.arange(len(X)) % 3, np.arange(len(X)) % 4
    search = GridSearchCV(
        ResidualQuantizer(2, random_state=0),
        {"codebook_size": [3, 4]},
        scoring=SCORING["error"],
        cv=CV,
    )
    search.fit(X, sample_weight=weight)
    train, test = next(CV.split(X))
    model = clone(search.estimator).set_params(codebook_size=3)
    model.fit(X[train], sample_weight=weight[train])
    expected = SCORING["error"](model, X[test], sample_weight=weight[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected)
    # scikit-learn says of the two others that they do not look at weights
    search.set_params(scoring=SCORING, refit="error")
    with pytest.warns(UserWarning, match="does not support sample_weight") as caught:
        search.fit(X, y, sample_weight=weight)
    for name in ("agreement=Prefix", "collisions=Coll"):
        assert sum(f"The scoring {name}" in str(w.message) for w in caught) == 1
    got = search.cv_results_["split0_test_error"][0]
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_scorers_can_be_pickled_cloned_and_compared(scorer, data):
    X, other, y = data
    model = ResidualQuantizer(**SHAPE).fit(X)
    twin = pickle.loads(pickle.dumps(scorer))
    assert twin == scorer
    assert twin(model, other, y) == scorer(model, other, y)
    search = clone(GridSearchCV(model, {}, scoring=scorer))
    assert search.scoring == scorer
    assert repr(scorer) in repr(search)


@pytest.mark.parametrize("bits", [0, -3, math.nan, "12", None])
def test_bad_bits_are_named(bits):
    with pytest.raises(ValueError, match=r"bits=.* must be a number above 0"):
        make_bit_budget_scorer(bits)


@pytest.mark.parametrize("depth", [0, -1, 1.5, "1"])
@pytest.mark.parametrize("make", [make_prefix_agreement_scorer, make_collision_scorer])
def test_bad_depth_is_named(make, depth):
    with pytest.raises(ValueError, match=r"depth=.* must be an integer of at least 1"):
        make(depth)


def test_unknown_score_is_named():
    with pytest.raises(ValueError, match=r"score must be one of .*'ami'.* got 'rand'"):
        make_prefix_agreement_scorer(score="rand")


def test_a_level_that_does_not_fit_is_named(data):
    X, other, _ = data
    model = ResidualQuantizer(2, [6, 2], random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"bits=2 .* whose 6 codes take 2.585 bits"):
        make_bit_budget_scorer(2)(model, other)


def test_too_wide_candidates_come_last_in_a_search(data):
    X, _, _ = data
    search = GridSearchCV(
        ResidualQuantizer(1, random_state=0),
        {"codebook_size": [8, 4]},
        scoring=make_bit_budget_scorer(2),
        cv=CV,
    )
    with pytest.warns(UserWarning, match=r"[Ss]cor") as caught:
        search.fit(X)
    assert any("bits=2 has no room" in str(w.message) for w in caught)
    assert search.best_params_ == {"codebook_size": 4}
    assert search.cv_results_["rank_test_score"].tolist() == [2, 1]


@pytest.mark.parametrize(
    "scorer", [make_prefix_agreement_scorer(3), make_collision_scorer(3)]
)
def test_depth_beyond_the_levels_is_named(scorer, data):
    X, other, y = data
    model = ResidualQuantizer(2, 4, random_state=0).fit(X)
    with pytest.raises(ValueError, match="depth=3 is above the number of levels, 2"):
        scorer(model, other, y)


def test_missing_or_wide_classes_are_named(data):
    X, other, y = data
    model = ResidualQuantizer(2, 4, random_state=0).fit(X)
    scorer = make_prefix_agreement_scorer()
    with pytest.raises(ValueError, match=r"y=None: agreement needs classes.*to fit"):
        scorer(model, other)
    with pytest.raises(ValueError, match=r"y must have shape .* got \(100, 2\)"):
        scorer(model, other, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="must be discrete, got dtype float64"):
        scorer(model, other, y / 2)


@pytest.mark.parametrize("scorer", SCORING.values(), ids=SCORING)
def test_other_estimators_are_named(scorer, data):
    X, other, y = data
    for estimator in (HyperbolicKMeans(3), KMeans(3), StandardScaler()):
        for model in (estimator, make_pipeline(StandardScaler(), estimator)):
            with pytest.raises(TypeError, match=r"codebooks_, such as .* got \w+\("):
                scorer(clone(model).fit(X), other, y)
    with pytest.raises(NotFittedError):
        scorer(ResidualQuantizer(), other, y)


def test_steps_that_cannot_be_inverted_are_named(data):
    X, other, y = data
    model = make_pipeline(Normalizer(), ResidualQuantizer(**SHAPE)).fit(X)
    with pytest.raises(TypeError, match=r"inverse_transform.*every step.*Normalizer"):
        make_bit_budget_scorer(4)(model, other)
    assert make_collision_scorer()(model, other) <= 0
    assert make_prefix_agreement_scorer()(model, other, y) <= 1
