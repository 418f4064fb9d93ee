"""Every estimator keeps scikit-learn's contract, and works in its machinery."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from contract import (
    CODERS,
    INSTANCES,
    data,
    fitted,
    name,
    size_parameter,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from skhyper.datasets import make_tree

HERE = Path(__file__).parent

# scikit-learn ships these and calls them for its own estimators only
FURTHER_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_param_validation",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_get_feature_names_out_error",
    "check_inplace_ensure_writeable",
]

every_estimator = pytest.mark.parametrize("estimator", INSTANCES, ids=name)
every_coder = pytest.mark.parametrize("estimator", CODERS, ids=name)

# some checks fit fewer rows than there are codes
few_rows = pytest.mark.filterwarnings(
    "ignore:.*(codebook_size|n_clusters)=:sklearn.exceptions.ConvergenceWarning"
)


@few_rows
@parametrize_with_checks(INSTANCES)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# scikit-learn's frames are fitted with names, and its own arrays have none
@pytest.mark.filterwarnings(
    "ignore:X (has|does not have valid) feature names:UserWarning"
)
@few_rows
@every_estimator
@pytest.mark.parametrize("check", FURTHER_CHECKS)
def test_further_checks(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


def test_array_api_dispatch_is_harmless():
    # scipy reads the variable when it is imported, hence another process
    code = """
from contract import INSTANCES
from sklearn.utils.estimator_checks import estimator_checks_generator
for instance in INSTANCES:
    for estimator, check in estimator_checks_generator(instance):
        if "array_api_input" in str(check):
            check(estimator)
            print(type(estimator).__name__)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) == len(INSTANCES)


@every_estimator
def test_parameters_survive_a_clone_and_set_params(estimator):
    parameters = estimator.get_params()
    twin = clone(estimator)
    assert twin is not estimator
    assert twin.get_params() == parameters
    assert type(estimator)().set_params(**parameters).get_params() == parameters
    with pytest.raises(ValueError, match="Invalid parameter 'sizes'"):
        twin.set_params(sizes=3)


@every_estimator
def test_clone_of_a_fitted_estimator_is_not_fitted(estimator):
    twin = clone(fitted(estimator))
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(twin)


@every_estimator
@pytest.mark.parametrize(
    ("container", "module"), [("pandas", pd), ("polars", pl)], ids=["pandas", "polars"]
)
def test_set_output(estimator, container, module):
    X = data()
    model = fitted(estimator, X)
    expected = model.transform(X)
    frame = model.set_output(transform=container).transform(X)
    assert isinstance(frame, module.DataFrame)
    assert list(frame.columns) == list(model.get_feature_names_out())
    assert_array_equal(frame.to_numpy(), expected)
    assert frame.to_numpy().dtype == expected.dtype


@every_coder
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_frames_of_codes_decode(estimator, container):
    X = data()
    model = fitted(estimator, X)
    expected = model.inverse_transform(model.transform(X))
    frame = model.set_output(transform=container).transform(X)
    assert_array_equal(model.inverse_transform(frame), expected)


@every_coder
def test_feature_names_count_the_levels(estimator):
    prefix = type(estimator).__name__.lower()
    model = fitted(estimator)
    names = model.get_feature_names_out()
    n_levels = getattr(estimator, "n_levels", 1)
    assert names.tolist() == [f"{prefix}{level}" for level in range(n_levels)]


@every_estimator
def test_pipeline(estimator):
    X = data() * 7 + 3
    pipeline = make_pipeline(StandardScaler(), clone(estimator))
    pipeline.set_params(**{f"{type(estimator).__name__.lower()}__random_state": 0})
    scaled = StandardScaler().fit_transform(X)
    alone = fitted(estimator, scaled)
    assert_array_equal(pipeline.fit_transform(X), alone.transform(scaled))
    assert_array_equal(pipeline.predict(X), alone.predict(scaled))
    assert pipeline.score(X) == alone.score(scaled)


@every_coder
def test_pipeline_inverts(estimator):
    X = data() * 7 + 3
    model = clone(estimator).set_params(random_state=0)
    pipeline = make_pipeline(StandardScaler(), model).fit(X)
    scaler = StandardScaler().fit(X)
    alone = fitted(estimator, scaler.transform(X))
    codes = pipeline.transform(X)
    expected = scaler.inverse_transform(alone.inverse_transform(codes))
    assert_array_equal(pipeline.inverse_transform(codes), expected)


@every_estimator
def test_cross_val_score_equals_a_loop(estimator):
    X = data()
    model = clone(estimator).set_params(random_state=0)
    folds = [(np.arange(50, 150), np.arange(50)), (np.arange(100), np.arange(100, 150))]
    expected = [clone(model).fit(X[a]).score(X[b]) for a, b in folds]
    assert_array_equal(cross_val_score(model, X, cv=folds), expected)
    assert max(expected) < 0


@pytest.mark.parametrize("estimator", [INSTANCES[0], CODERS[-1]], ids=name)
def test_grid_search_in_two_processes(estimator):
    X, parameter = data(), size_parameter(estimator)
    model = clone(estimator).set_params(random_state=0)
    grid = {parameter: [2, 8]}
    alone, shared = (
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(X) for n_jobs in (1, 2)
    )
    for result in ("split0_test_score", "split1_test_score"):
        assert_array_equal(shared.cv_results_[result], alone.cv_results_[result])
        assert len(set(alone.cv_results_[result])) == 2
    best = shared.best_estimator_
    assert best.get_params()[parameter] == shared.best_params_[parameter]
    assert best.score(X) == alone.best_estimator_.score(X)


@every_estimator
def test_clustering_metrics_apply_to_labels(estimator):
    X, y = make_tree(200, 6, branching=4, depth=1, noise=0.01, random_state=1)
    model = fitted(estimator, X)
    labels = model.predict(X)
    assert labels.dtype == np.int64
    assert_array_equal(labels, model.labels_)
    twin = clone(estimator).set_params(random_state=0)
    assert_array_equal(twin.fit_predict(X), labels)
    assert adjusted_rand_score(y[:, 0], labels) > 0.5
    assert silhouette_score(X, labels) > 0.5


@every_estimator
def test_copies_give_the_same_bytes(estimator, tmp_path):
    X = data()
    model = fitted(estimator, X)
    joblib.dump(model, tmp_path / "model")
    copies = {
        "pickle": pickle.loads(pickle.dumps(model)),
        "joblib": joblib.load(tmp_path / "model"),
        "memmap": joblib.load(tmp_path / "model", mmap_mode="r"),
        "copy": copy.copy(model),
        "deepcopy": copy.deepcopy(model),
    }
    expected = model.transform(X)
    for way, twin in copies.items():
        assert twin.transform(X).tobytes() == expected.tobytes(), way
        assert twin.score(X) == model.score(X), way
        if estimator in CODERS:
            decoded = model.inverse_transform(expected)
            assert_array_equal(twin.inverse_transform(expected), decoded, way)


@every_coder
def test_fitted_state_is_plain_numpy(estimator):
    model = fitted(estimator)
    assert isinstance(model.n_iter_, int)
    assert model.n_iter_ >= 1
    for codebook in model.codebooks_:
        assert type(codebook) is np.ndarray
        assert codebook.dtype == np.float64
    assert model.codebook_usage_.shape == (len(model.codebooks_),)
    assert np.all((model.codebook_usage_ > 0) & (model.codebook_usage_ <= 1))
    assert b"torch" not in pickle.dumps(model)


@every_estimator
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_follows_the_data(estimator, dtype):
    X = data().astype(dtype)
    model = fitted(estimator, X)
    if estimator in CODERS:
        codes = model.transform(X)
        assert codes.dtype == np.int64
        assert model.inverse_transform(codes).dtype == dtype
    else:
        assert model.transform(X).dtype == dtype
