"""Logistic regression in the ball: its objective, its optimum, and its contract."""

import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from skhyper.classification import HyperbolicLogisticRegression
from skhyper.classification._objective import SHARED, SPARE, Objective
from skhyper.datasets import load_naics, make_tree
from skhyper.manifolds import Lorentz, PoincareBall
from skhyper.manifolds._hyperplanes import hyperplane_logits

INSTANCES = [
    HyperbolicLogisticRegression(),
    HyperbolicLogisticRegression(C=10, curvature=1e-4, class_weight="balanced"),
]
LABELS = {2: np.array(["leaf", "root"]), 4: np.array(["a", "bb", "ccc", "d"])}
n_classes_given = pytest.mark.parametrize("n_classes", [2, 4])


def blobs(n_classes, n=120, d=3, seed=0):
    """Overlapping classes with string labels, not equally frequent."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, n_classes + 1, n), n_classes - 1)
    X = rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[y]
    return X, LABELS[n_classes][y]


def ring(n=300, noise=0.1, seed=0):
    """A class at the centre, and four quarters of a ring around it."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    central = np.arange(n) < n // 3
    radius = np.where(central, 0.2, 1.5) * np.exp(noise * rng.normal(size=n))
    y = np.where(central, 4, (angle // (np.pi / 2)).astype(int))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), y


def tight(**parameters):
    return HyperbolicLogisticRegression(tol=1e-9, max_iter=5000, **parameters)


# scikit-learn's contract


@parametrize_with_checks(INSTANCES)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# scikit-learn's frames are fitted with names, and its own arrays have none
@pytest.mark.filterwarnings(
    "ignore:X (has|does not have valid) feature names:UserWarning"
)
@pytest.mark.parametrize("estimator", INSTANCES)
@pytest.mark.parametrize(
    "check",
    [
        "check_dataframe_column_names_consistency",
        "check_param_validation",
        "check_inplace_ensure_writeable",
    ],
)
def test_further_checks(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator))


def test_array_api_dispatch_is_harmless():
    # scipy reads the variable when it is imported, hence another process
    code = """
from skhyper.classification import HyperbolicLogisticRegression
from sklearn.utils.estimator_checks import estimator_checks_generator
for estimator, check in estimator_checks_generator(HyperbolicLogisticRegression()):
    if "array_api_input" in str(check):
        check(estimator)
        print("checked")
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "checked" in run.stdout


def test_fitted_attributes_are_those_documented():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression().fit(pd.DataFrame(X).add_prefix("x"), y)
    attributes = {a for a in vars(model) if a.endswith("_") and not a.startswith("_")}
    documented = {entry.name for entry in ClassDoc(type(model))["Attributes"]}
    assert attributes == documented


# the objective


def objective(n_classes, c=0.7, C=0.8):
    X, y = blobs(n_classes, n=20)
    Z = PoincareBall(c).expmap0(X / 2)
    labels = np.searchsorted(LABELS[n_classes], y)
    weight = np.random.default_rng(1).uniform(0.1, 2, len(y))
    return Objective(PoincareBall(c), Z, labels, weight, C), (Z, labels, weight, c, C)


def slow_twin(parameters, Z, labels, weight, c, C):
    """The objective by torch, through `hyperplane_logits`."""
    table = parameters.reshape(-1, Z.shape[1] + 1)
    tangents = PoincareBall(c).logmap0(Z)
    length = np.average(np.linalg.norm(tangents, axis=1) ** 2, weights=weight) ** 0.5
    coef, intercept = table[:, :-1] / length, table[:, -1]
    gains = torch.sqrt((coef**2).sum(dim=1) + 4 * c * SPARE**2)
    logits = hyperplane_logits(
        PoincareBall(c),
        torch.from_numpy(Z),
        coef / gains[:, None],
        -intercept / gains,
        gains,
    )
    penalty = 0.5 * (coef**2).sum()
    if len(table) == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    else:
        shared = 4 * c * SHARED * intercept.sum() ** 2 / len(table)
        penalty = penalty + 0.5 * shared
    losses = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(labels), reduction="none"
    )
    weight = torch.from_numpy(weight)
    return ((weight * losses).sum() + penalty / C) / weight.sum()


@n_classes_given
@pytest.mark.parametrize("c", [1e-6, 0.7, 5.0])
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3, 1.0, 30.0])
def test_objective_and_gradient_are_those_of_a_slow_twin(n_classes, c, size):
    function, data = objective(n_classes, c)
    rng = np.random.default_rng(2)
    parameters = rng.normal(size=(function.n_planes, 4)) * [[size, size, size, 1.0]]
    value, gradient = function(parameters.ravel())
    twin = torch.from_numpy(parameters.ravel()).requires_grad_()
    expected = slow_twin(twin, *data)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-9)
    assert_allclose(gradient, twin.grad.numpy(), rtol=1e-6, atol=1e-8)


@n_classes_given
def test_fit_ends_where_the_gradient_of_the_documented_objective_is_zero(n_classes):
    """C times the summed cross-entropy plus half the squared coefficients."""
    X, y = blobs(n_classes)
    model = tight(C=0.7, curvature=0.3).fit(X, y)

    def total(flat):
        twin = clone(model)
        vars(twin).update(vars(model))
        table = flat.reshape(len(model.coef_), -1)
        twin.coef_, twin.intercept_ = table[:, :-1], table[:, -1]
        loss = log_loss(y, twin.predict_proba(X), labels=model.classes_) * len(y)
        return model.C * loss + 0.5 * np.sum(twin.coef_**2)

    best = np.column_stack([model.coef_, model.intercept_]).ravel()
    steps = 1e-4 * np.eye(len(best))
    slopes = [(total(best + step) - total(best - step)) / 2e-4 for step in steps]
    # a little penalty on the intercepts is not in the documented objective
    assert_allclose(slopes, 0, atol=1e-3 + 0.02 * (n_classes > 2))
    assert total(best) < total(0 * best) - 10


# the flat limit


@n_classes_given
@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
def test_at_tiny_curvature_it_is_scikit_learns_logistic_regression(n_classes, C):
    X, y = blobs(n_classes)
    flat = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(X, y)
    model = tight(C=C, curvature=1e-8).fit(X, y)
    assert model.coef_.shape == flat.coef_.shape
    assert_allclose(model.coef_, flat.coef_, atol=1e-5)
    assert_allclose(model.intercept_, flat.intercept_, atol=1e-5)
    assert_allclose(model.predict_proba(X), flat.predict_proba(X), atol=1e-5)
    assert_allclose(model.decision_function(X), flat.decision_function(X), atol=1e-4)
    assert_array_equal(model.predict(X), flat.predict(X))
    curved = clone(model).set_params(curvature=0.3).fit(X, y)
    assert np.abs(curved.predict_proba(X) - flat.predict_proba(X)).max() > 1e-3


def test_class_weights_and_sample_weights_are_scikit_learns_too():
    X, y = blobs(4)
    weight = np.random.default_rng(3).uniform(0, 3, len(y))
    for class_weight in ("balanced", {"a": 5.0, "d": 0.2}):
        flat = LogisticRegression(class_weight=class_weight, tol=1e-10, max_iter=5000)
        flat.fit(X, y, sample_weight=weight)
        model = tight(class_weight=class_weight, curvature=1e-8)
        model.fit(X, y, sample_weight=weight)
        assert_allclose(model.coef_, flat.coef_, atol=1e-5)


# weights


@n_classes_given
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_weight_is_that_many_rows(n_classes, class_weight):
    X, y = blobs(n_classes)
    weight = np.random.default_rng(5).integers(0, 4, len(y))
    model = HyperbolicLogisticRegression(class_weight=class_weight)
    model.fit(X, y, sample_weight=weight)
    rows = np.random.default_rng(1).permutation(np.repeat(np.arange(len(y)), weight))
    twin = clone(model).fit(X[rows], y[rows])
    assert_array_equal(twin.coef_, model.coef_)
    assert_array_equal(twin.intercept_, model.intercept_)
    unweighted = clone(model).fit(X, y)
    assert np.abs(unweighted.coef_ - model.coef_).max() > 1e-2


def test_weight_zero_removes_even_a_class():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression().fit(X, y, sample_weight=(y != "ccc"))
    assert model.classes_.tolist() == ["a", "bb", "d"]
    twin = HyperbolicLogisticRegression().fit(X[y != "ccc"], y[y != "ccc"])
    assert_array_equal(model.coef_, twin.coef_)


def test_balanced_classes_help_the_rare_one():
    X, y = blobs(2)
    keep = (y == "leaf") | (np.arange(len(y)) % 8 == 0)
    X, y = X[keep], y[keep]
    plain = HyperbolicLogisticRegression().fit(X, y)
    balanced = HyperbolicLogisticRegression(class_weight="balanced").fit(X, y)
    count = len(y) / (2 * np.array([np.sum(y == "leaf"), np.sum(y == "root")]))
    by_hand = HyperbolicLogisticRegression().fit(
        X, y, sample_weight=np.where(y == "leaf", *count)
    )
    assert_allclose(balanced.coef_, by_hand.coef_, rtol=1e-2)
    assert np.sum(balanced.predict(X) == "root") > np.sum(plain.predict(X) == "root")


# what is learnt


@pytest.mark.parametrize("C", [1.0, 1e6])
@pytest.mark.parametrize("curvature", ["auto", 1.0])
def test_separable_trees_do_not_diverge(C, curvature):
    X, y = make_tree(200, 8, branching=3, depth=2, noise=0.05, random_state=0)
    X /= 4
    for labels in (y[:, 1], y[:, 0] == 1):
        model = HyperbolicLogisticRegression(C=C, curvature=curvature).fit(X, labels)
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.intercept_).all()
        assert model.score(X, labels) == 1.0
        again = LogisticRegression(C=C, max_iter=5000).fit(X, labels)
        longest = np.linalg.norm(again.coef_, axis=1).max()
        assert np.linalg.norm(model.coef_, axis=1).max() < 3 * longest


def test_separable_classes_without_a_penalty_still_end():
    X, y = make_tree(100, 4, branching=2, depth=1, noise=0.05, random_state=0)
    model = HyperbolicLogisticRegression(C=np.inf).fit(X, y[:, 0])
    assert np.isfinite(model.decision_function(X)).all()
    assert model.score(X, y[:, 0]) == 1.0


def test_the_kink_at_no_coefficients_is_smooth_enough():
    """Nothing but a constant is left of the class that all the others surround."""
    X, y = ring()
    # a warning that it has not converged would be an error
    model = HyperbolicLogisticRegression(curvature=1.0, tol=1e-6).fit(X, y)
    lengths = np.linalg.norm(model.coef_, axis=1)
    assert model.n_iter_ < 250
    assert lengths[4] < SPARE < 1 < lengths[:4].min()
    logits = model.decision_function(X)
    reach = 2 * np.linalg.norm(X, axis=1).max()
    assert np.ptp(logits[:, 4]) < 2 * SPARE * reach
    assert model.score(X, y) > 0.98


def test_planes_bend():
    """In tangent features no decision is affine but in the flat limit."""
    X, y = blobs(2)
    for curvature, bends in ((1e-12, False), (0.3, True)):
        model = HyperbolicLogisticRegression(curvature=curvature).fit(X, y)
        across = np.linalg.svd(model.coef_)[2][1]
        foot = -model.intercept_ / np.sum(model.coef_**2) * model.coef_
        line = foot + np.linspace(-3, 3, 7)[:, None] * across
        logits = model.decision_function(line)
        assert logits[3] == pytest.approx(0, abs=1e-6)
        # the plane turns away from the origin, to the side of its foot
        ends = np.sign(model.intercept_[0]) * logits[[0, -1]]
        assert np.all(ends > 0.1) if bends else np.all(np.abs(ends) < 1e-6)


@n_classes_given
def test_the_plane_of_each_class_is_where_the_attributes_say(n_classes):
    X, y = blobs(n_classes)
    model = HyperbolicLogisticRegression(curvature=0.1).fit(X, y)
    length = np.linalg.norm(model.coef_, axis=1, keepdims=True)
    feet = model.coef_ / length * (-model.intercept_[:, None] / length)
    at_feet = model.decision_function(feet).reshape(len(feet), -1)
    assert_allclose(np.diagonal(at_feet), 0, atol=1e-4)
    at_origin = model.decision_function(np.zeros((1, 3)))
    assert_allclose(at_origin.ravel(), model.intercept_, rtol=1e-5)


def test_geometries_of_the_input_agree():
    X, y = blobs(4)
    ball = PoincareBall(0.1)
    Z, L = ball.expmap0(X), Lorentz(0.1).expmap0(2 * X)
    tangent, inside, sheet = (
        tight(curvature=0.1, input_geometry=geometry).fit(data, y)
        for geometry, data in (("tangent", X), ("ball", Z), ("lorentz", L))
    )
    assert sheet.n_features_in_ == 4
    assert_allclose(inside.coef_, tangent.coef_, rtol=1e-4, atol=1e-5)
    assert_allclose(sheet.coef_, tangent.coef_, rtol=1e-4, atol=1e-5)
    assert_allclose(sheet.predict_proba(L), tangent.predict_proba(X), atol=1e-5)
    assert HyperbolicLogisticRegression(input_geometry="ball").fit(
        Z / 4, y
    ).curvature_ == pytest.approx(1.0)


def test_auto_curvature_makes_the_fit_indifferent_to_units():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression(C=1.0).fit(X, y)
    scaled = HyperbolicLogisticRegression(C=1e-4).fit(100 * X, y)
    assert scaled.curvature_ == pytest.approx(model.curvature_ / 1e4)
    assert scaled.n_iter_ == model.n_iter_
    assert_allclose(scaled.coef_, model.coef_ / 100, rtol=1e-6)
    assert_allclose(scaled.predict_proba(100 * X), model.predict_proba(X), rtol=1e-6)


# points near the rim


def test_far_points_warn_and_stay_finite():
    X, y = blobs(2)
    X[0] *= 40
    with pytest.warns(UserWarning, match=r"1 of 120 points .* Lower curvature"):
        model = HyperbolicLogisticRegression(curvature=1.0).fit(X, y)
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        assert np.isfinite(getattr(model, method)(1e6 * X)).all()
        assert np.isfinite(getattr(model, method)(X.astype(np.float32))).all()


def test_points_on_the_rim_still_pull():
    """All points saturate, and yet their directions are learnt."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    X *= 50 / np.linalg.norm(X, axis=1, keepdims=True)
    y = X[:, 0] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HyperbolicLogisticRegression(curvature=1.0).fit(X, y)
    assert model.score(X, y) > 0.9


def test_log_probabilities_are_finite_where_probabilities_round_to_zero():
    X, y = make_tree(60, 4, branching=3, depth=1, noise=0.05, random_state=0)
    model = HyperbolicLogisticRegression(C=1e6).fit(X, y[:, 0])
    far = 1e4 * X
    assert np.any(model.predict_proba(far) == 0)
    assert np.isfinite(model.predict_log_proba(far)).all()
    assert_allclose(model.predict_proba(X), np.exp(model.predict_log_proba(X)))


# pure functions


def output(model, X):
    return np.column_stack(
        [
            model.decision_function(X),
            model.predict_proba(X),
            model.predict_log_proba(X),
            np.searchsorted(model.classes_, model.predict(X)),
        ]
    )


@n_classes_given
@pytest.mark.parametrize("d", [1, 3, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_pure_functions_of_each_row(n_classes, d, dtype):
    X, y = blobs(n_classes, n=600, d=d)
    X = X.astype(dtype)
    model = HyperbolicLogisticRegression().fit(X[:200], y[:200])
    kept, expected = X.copy(), output(model, X)
    assert model.decision_function(X).dtype == dtype
    assert model.predict_proba(X).dtype == dtype
    for n in (1, 2, 3, 17, 255, 256, 257, 511):
        assert output(model, X[:n]).tobytes() == expected[:n].tobytes()
        assert output(model, X[-n:]).tobytes() == expected[-n:].tobytes()
    alone = [output(model, X[i : i + 1]) for i in range(0, 600, 7)]
    assert np.concatenate(alone).tobytes() == expected[::7].tobytes()
    order = np.random.default_rng(0).permutation(600)
    assert output(model, X[order]).tobytes() == expected[order].tobytes()
    for stored in (np.asfortranarray(X), X[::-1].copy()[::-1]):
        assert output(model, stored).tobytes() == expected.tobytes()
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            assert output(model, X).tobytes() == expected.tobytes()
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: output(model, X), range(3)):
            assert found.tobytes() == expected.tobytes()
    assert_array_equal(X, kept)


def test_fit_does_not_depend_on_the_order_of_the_rows():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression().fit(X, y)
    order = np.random.default_rng(0).permutation(len(y))
    twin = HyperbolicLogisticRegression().fit(X[order], y[order])
    assert_array_equal(twin.coef_, model.coef_)
    assert_array_equal(twin.intercept_, model.intercept_)


def test_global_generators_are_left_alone():
    X, y = blobs(4)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    HyperbolicLogisticRegression().fit(X, y).predict(X)
    assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


# in scikit-learn's machinery


def test_labels_come_back_as_they_were_given():
    X, y = blobs(2)
    index = np.searchsorted(LABELS[2], y)
    expected = HyperbolicLogisticRegression().fit(X, index).predict(X)
    for labels in (
        LABELS[2],
        np.array([False, True]),
        np.array([-1.0, 1.0]),
        np.array([3, 10**12]),
        np.array(["leaf", "root"], dtype=object),
    ):
        model = HyperbolicLogisticRegression().fit(X, labels[index])
        assert_array_equal(model.classes_, labels)
        assert model.predict(X).dtype == labels.dtype
        assert_array_equal(model.predict(X), labels[expected])
    frame = pd.DataFrame(X).add_prefix("x")
    categories = pd.Series(y, dtype="category")
    model = HyperbolicLogisticRegression().fit(frame, categories)
    assert_array_equal(model.predict(frame), LABELS[2][expected])


@n_classes_given
def test_decisions_probabilities_and_labels_agree(n_classes):
    X, y = blobs(n_classes)
    model = HyperbolicLogisticRegression().fit(X, y)
    logits, probabilities = model.decision_function(X), model.predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1.0)
    best = probabilities.argmax(axis=1)
    assert_array_equal(model.predict(X), model.classes_[best])
    if n_classes == 2:
        assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-logits)))
    else:
        shares = np.exp(logits)
        assert_allclose(probabilities, shares / shares.sum(axis=1, keepdims=True))
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    half = np.arange(len(y)) % 2
    assert model.score(X, y, half) == model.score(X[half == 1], y[half == 1])


def test_pipeline_grid_search_and_cross_validation():
    X, y = blobs(4)
    pipeline = make_pipeline(StandardScaler(), HyperbolicLogisticRegression())
    name = "hyperboliclogisticregression__"
    grid = {name + "C": [1e-3, 1.0], name + "curvature": ["auto", 0.1]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_[name + "C"] == 1.0
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    scores = cross_val_score(pipeline, X, y, cv=3, scoring="neg_log_loss")
    assert np.all(scores > -np.log(4))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method):
    X, y = blobs(4)
    model = CalibratedClassifierCV(HyperbolicLogisticRegression(), method=method, cv=3)
    model.fit(X, y)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert model.score(X, y) > 0.5


def test_pickles_hold_plain_numpy():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression().fit(X, y)
    stored = pickle.dumps(model)
    assert b"torch" not in stored
    twin = pickle.loads(stored)
    assert output(twin, X).tobytes() == output(model, X).tobytes()
    assert type(model.coef_) is np.ndarray
    assert isinstance(model.n_iter_, int)
    assert isinstance(model.curvature_, float)


def test_fitting_needs_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from skhyper.classification import HyperbolicLogisticRegression\n"
        "X = np.eye(6)\n"
        "HyperbolicLogisticRegression().fit(X, [0, 1, 2] * 2).predict(X)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_industries_are_recognised_as_well_as_by_the_flat_twin():
    X, y = load_naics().data[::2], load_naics().target[::2, 0]
    common = np.isin(y, np.flatnonzero(np.bincount(y) >= 3))
    X, y = X[common], y[common]
    flat = cross_val_score(LogisticRegression(C=10), X, y, cv=3).mean()
    curved = cross_val_score(HyperbolicLogisticRegression(C=10), X, y, cv=3).mean()
    assert curved > flat - 0.02


# bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": 0.0}, "'C' parameter"),
        ({"C": -1.0}, "'C' parameter"),
        ({"curvature": 0.0}, "'curvature' parameter"),
        ({"curvature": "flat"}, "'curvature' parameter"),
        ({"input_geometry": "sphere"}, "'input_geometry' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"class_weight": "equal"}, "'class_weight' parameter"),
        ({"class_weight": {"a": 0.0}}, "class_weight=.* above 0 for every class"),
        ({"class_weight": {"a": -1.0}}, "class_weight=.* above 0 for every class"),
        ({"input_geometry": "ball"}, "outside the Poincare ball"),
    ],
)
def test_bad_parameters(parameters, message):
    X, y = blobs(4)
    with pytest.raises(ValueError, match=message):
        HyperbolicLogisticRegression(**parameters).fit(X, y)


def test_bad_labels_and_weights():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression()
    with pytest.raises(ValueError, match=r"at least 2 classes.*only one class.*'a'"):
        model.fit(X, np.full(len(X), "a"))
    with pytest.raises(ValueError, match="only one class among the samples of pos"):
        model.fit(X, y, sample_weight=(y == "d"))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        model.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[1:])
    with pytest.raises(ValueError, match="Negative values in data"):
        model.fit(X, y, sample_weight=np.where(y == "a", -1.0, 1.0))
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match=r"row 3 has norm"):
        HyperbolicLogisticRegression(input_geometry="ball").fit(
            np.r_[0.01 * X[:3], [[2.0, 0, 0]], 0.01 * X[4:]], y
        )


def test_a_failed_fit_leaves_the_parameters_alone():
    X, y = blobs(4)
    model = HyperbolicLogisticRegression().fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="only one class"):
        model.fit(X, np.zeros(len(X)))
    assert_array_equal(model.predict_proba(X), expected)


def test_too_few_iterations_are_said():
    X, y = blobs(4)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 .* Raise max_iter"):
        model = HyperbolicLogisticRegression(max_iter=2).fit(X, y)
    assert model.n_iter_ == 2
