"""HyperVQ as a classifier: its decisions, its contract, and its training."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from skhyper import io
from skhyper._nn._classifier import ClassifyingAutoencoder
from skhyper._nn._hyperplanes import Hyperplanes
from skhyper._nn._layers import mlp
from skhyper._nn._runtime import seeded
from skhyper.callbacks import EpochLog
from skhyper.classification import HyperVQClassifier
from skhyper.datasets import make_tree
from skhyper.manifolds import PoincareBall

SMALL = {
    "latent_dim": 4,
    "hidden_layer_sizes": (16,),
    "max_iter": 15,
    "batch_size": 120,
    "learning_rate": 3e-2,
    "random_state": 0,
}
TINY = {"latent_dim": 3, "hidden_layer_sizes": (8,), "max_iter": 12}
INSTANCES = [
    HyperVQClassifier(4, **TINY, learning_rate=0.03),
    HyperVQClassifier(
        (4, 3), **TINY, learning_rate=0.03, n_levels=2, reconstruction_weight=0
    ),
]
LABELS = np.array(["ash", "birch", "cedar", "dogwood"])
levels = pytest.mark.parametrize("n_levels", [1, 2])

# some checks fit fewer rows than there are codes
few_rows = pytest.mark.filterwarnings(
    "ignore:.*codebook_size=:sklearn.exceptions.ConvergenceWarning",
    "ignore:Level . uses:sklearn.exceptions.ConvergenceWarning",
)


@pytest.fixture(scope="module")
def data():
    """Rows of a tree, and the names of its four branches."""
    X, y = make_tree(240, 8, branching=4, depth=2, random_state=0)
    return X, LABELS[y[:, 0]]


def classifier(n_levels=1, **parameters):
    given = {"codebook_size": 8, "n_levels": n_levels, **SMALL, **parameters}
    return HyperVQClassifier(**given)


# scikit-learn's contract


@few_rows
@parametrize_with_checks(INSTANCES)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# scikit-learn's frames are fitted with names, and its own arrays have none
@pytest.mark.filterwarnings(
    "ignore:X (has|does not have valid) feature names:UserWarning"
)
@few_rows
@pytest.mark.parametrize(
    "check",
    [
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
    ],
)
def test_further_checks(check):
    estimator = clone(INSTANCES[1]).set_params(max_iter=2)
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


def test_clones_and_parameters(data):
    model = classifier()
    twin = clone(model.fit(*data))
    assert twin.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    for method in ("predict", "predict_proba", "transform", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(twin, method)(data[0])


# decisions


@levels
@pytest.mark.parametrize("n_classes", [2, 4])
def test_shapes_and_their_agreement(n_levels, n_classes, data):
    X, y = data
    y = np.where(np.isin(y, LABELS[:n_classes]), y, LABELS[0])
    model = classifier(n_levels).fit(X, y)
    assert_array_equal(model.classes_, LABELS[:n_classes])
    logits, proba = model.decision_function(X), model.predict_proba(X)
    assert proba.shape == (240, n_classes)
    assert proba.dtype == logits.dtype == np.float64
    assert_allclose(proba.sum(axis=1), 1)
    assert_allclose(model.predict_log_proba(X), np.log(proba), atol=1e-6)
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    assert_array_equal(predicted, model.classes_[proba.argmax(axis=1)])
    if n_classes == 2:
        assert logits.shape == (240,)
        assert_allclose(proba[:, 1], 1 / (1 + np.exp(-logits)))
        assert_array_equal(predicted == LABELS[1], logits > 0)
    else:
        assert logits.shape == (240, n_classes)
        assert_allclose(softmax(logits, axis=1), proba)
        assert_allclose(log_softmax(logits, axis=1), model.predict_log_proba(X))
    assert model.score(X, y) == accuracy_score(y, predicted)


@levels
def test_it_beats_chance_by_far_on_rows_not_seen(n_levels):
    X, y = make_tree(400, 8, branching=4, depth=2, noise=0.3, random_state=1)
    y = LABELS[y[:, 0]]
    model = classifier(n_levels).fit(X[:300], y[:300])
    chance = np.max(np.unique(y[300:], return_counts=True)[1]) / 100
    assert chance < 0.5
    assert model.score(X[300:], y[300:]) > 0.85
    assert model.error_curve_[-1] < 0.5 * model.error_curve_[0]


def test_few_codes_limit_what_can_be_told_apart(data):
    """Two codes give two predictions at most, whatever the classes."""
    X, y = data
    model = classifier(codebook_size=2).fit(X, y)
    assert len(np.unique(model.predict(X))) <= 2
    assert len(np.unique(model.predict_proba(X), axis=0)) <= 2


@levels
def test_predictions_depend_on_the_code_alone(n_levels, data):
    """Against the head's weights and the tangent vectors of the codes."""
    X, y = data
    model = classifier(n_levels, curvature=0.7).fit(X, y)
    ball, codes = PoincareBall(model.curvature_), model.transform(X)
    point = model.codebooks_[-1][codes[:, -1]]
    for book, column in list(zip(model.codebooks_, codes.T, strict=True))[-2::-1]:
        point = ball.add(book[column], point)
    w = model.weights_
    read = ball.logmap0(point) / w["scale"] + w["shift"]
    expected = read @ w["head.weight"].T + w["head.bias"]
    assert_allclose(model.decision_function(X), expected, rtol=1e-6, atol=1e-9)
    _, first, which = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    logits = model.decision_function(X)
    assert_array_equal(logits, logits[first][which.ravel()])
    assert_array_equal(model.predict(X[::-1])[::-1], model.predict(X))
    assert_array_equal(model.predict_proba(X[:1]), model.predict_proba(X)[:1])


@levels
def test_codes_decode(n_levels, data):
    X, y = data
    model = classifier(n_levels, reconstruction_weight=1.0).fit(X, y)
    codes = model.transform(X)
    assert codes.shape == (240, n_levels)
    assert codes.dtype == np.int64
    error = np.mean((X - model.inverse_transform(codes)) ** 2)
    assert error < 0.7 * X.var(axis=0).mean()
    assert model.inverse_transform(codes[:, :1]).shape == X.shape
    with pytest.raises(ValueError, match="columns, expected 1 to"):
        model.inverse_transform(np.zeros((2, n_levels + 1), dtype=int))
    assert_array_equal(clone(model).fit_transform(X, y), codes)
    names = model.get_feature_names_out()
    assert names.tolist() == [f"hypervqclassifier{i}" for i in range(n_levels)]
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == names.tolist()
    assert_array_equal(frame.to_numpy(), codes)


def test_without_reconstruction_no_decoder_learns(data):
    X, y = data
    with_one, without = (
        classifier(reconstruction_weight=weight).fit(X, y) for weight in (1.0, 0)
    )
    assert without.score(X, y) > 0.9
    errors = [
        np.mean((X - model.inverse_transform(model.transform(X))) ** 2)
        for model in (with_one, without)
    ]
    assert errors[0] < 0.7 * errors[1]


# training


def head_and_halves(gradient, reconstruction_weight=0.3):
    with seeded(0, torch.device("cpu")):
        model = ClassifyingAutoencoder(
            mlp([6, 7, 3]),
            mlp([3, 7, 6]),
            Hyperplanes(
                PoincareBall(0.8),
                gradient=gradient,
                temperatures=(0.7, 0.7),
                entropy_weight=0.0,
            ),
            latent_dim=3,
            point_dtype=torch.float64,
            dtype=torch.float64,
            n_classes=3,
            reconstruction_weight=reconstruction_weight,
        )
    model.set_codebooks([0.5 * np.random.default_rng(0).normal(size=(4, 3))])
    rng = np.random.RandomState(1)
    x, weight = torch.from_numpy(rng.randn(20, 6)), torch.from_numpy(rng.rand(20))
    return model, x, weight, torch.from_numpy(rng.randint(3, size=20))


@pytest.mark.parametrize("reconstruction_weight", [0.3, 0.0])
def test_the_error_is_cross_entropy_and_reconstruction(reconstruction_weight):
    """In loops, for the code of the largest logit."""
    model, x, weight, y = head_and_halves("exact", reconstruction_weight)
    found = float(model.losses(x, weight, y)[0].error)
    tangents = model.codebooks.tangents()[0]
    z = PoincareBall(0.8).expmap0(model.embed(x).detach())
    codes = model.codebooks.logits(0, z).argmax(dim=1)
    expected = 0.0
    for i in range(20):
        u = torch.from_numpy(tangents[codes[i]])[None]
        logits = model.classify(u).detach().numpy()
        surprise = -log_softmax(logits, axis=1)[0, y[i]]
        error = np.mean((x[i].numpy() - model.decode(u).detach().numpy()[0]) ** 2)
        expected += float(weight[i]) * (surprise + reconstruction_weight * error) / 20
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reconstruction_weight", [0.3, 0.0])
def test_the_exact_loss_is_that_of_the_mixture_of_codes(reconstruction_weight):
    model, x, weight, y = head_and_halves("exact", reconstruction_weight)
    found = float(model.losses(x, weight, y)[0].total.detach())
    u = torch.from_numpy(model.codebooks.tangents()[0])
    z = PoincareBall(0.8).expmap0(model.embed(x).detach())
    logits = model.codebooks.logits(0, z).detach().numpy() / 0.7
    proba = softmax(logits, axis=1)
    classes = softmax(model.classify(u).detach().numpy(), axis=1)
    decoded = model.decode(u).detach().numpy()
    expected = 0.0
    for i, row in enumerate(x.numpy()):
        surprise = -np.log(
            sum(p * q[y[i]] for p, q in zip(proba[i], classes, strict=True))
        )
        errors = [np.mean((row - x_hat) ** 2) for x_hat in decoded]
        loss = surprise + reconstruction_weight * (proba[i] @ errors)
        expected += float(weight[i]) * loss / 20
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gradient", ["exact", "reinmax", "gumbel"])
def test_every_part_learns(gradient):
    model, *rows = head_and_halves(gradient)
    model.bottleneck.generator = torch.Generator().manual_seed(0)
    model.losses(*rows)[0].total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("gradient", ["exact", "reinmax", "gumbel"])
def test_all_gradients_learn_classes(gradient, data):
    X, y = data
    model = classifier(gradient=gradient, max_iter=40).fit(X, y)
    assert model.score(X, y) > 0.9
    twin = clone(model).fit(X, y)
    assert twin.loss_curve_ == model.loss_curve_


@levels
def test_a_weight_of_zero_is_no_row(n_levels, data):
    X, y = data
    weight = np.r_[np.ones(200), np.zeros(40)]
    junk = np.where(weight > 0, y, LABELS[::-1][np.arange(240) % 4])
    one = classifier(n_levels).fit(X[:200], y[:200])
    other = classifier(n_levels).fit(X, junk, sample_weight=3 * weight)
    assert one.loss_curve_ == other.loss_curve_
    assert_array_equal(one.weights_["head.weight"], other.weights_["head.weight"])
    assert one.score(X, y) == other.score(X, y)
    ones = np.ones(240)
    assert one.score(X, y, sample_weight=ones) == one.score(X, y)


def test_a_class_of_no_weight_is_no_class(data):
    X, y = data
    weight = (y != "birch").astype(float)
    present = weight > 0
    one = classifier().fit(X[present], y[present])
    other = classifier().fit(X, y, sample_weight=weight)
    assert_array_equal(other.classes_, ["ash", "cedar", "dogwood"])
    assert_array_equal(other.predict_proba(X), one.predict_proba(X))
    with pytest.raises(ValueError, match=r"one class only.*: 'ash'"):
        classifier().fit(X, y, sample_weight=y == "ash")


def test_weights_are_repeats(data):
    X, y = data
    repeats = np.arange(240) % 3
    often = classifier().fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    once = classifier().fit(X, y, sample_weight=repeats)
    assert_allclose(once.loss_curve_, often.loss_curve_, rtol=1e-9)


def test_one_row_of_two_classes(data):
    """Equal rows with other classes are other rows, and share their probability."""
    X, y = data
    rows, classes = np.r_[X, X[:120]], np.r_[y, np.repeat(LABELS[3], 120)]
    proba = classifier().fit(rows, classes).predict_proba(X[:120])
    ours = np.searchsorted(LABELS, y[:120])
    mean = proba[np.arange(120), ours][ours < 3].mean()
    assert 0.3 < mean < 0.7


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.astype(object),
        np.array([-7, 0, 3, 10**12]),
        np.array([0.0, 1.0, 2.0, 4.0]),
        np.array([True, False, True, False]),
    ],
    ids=["str", "object", "int", "float", "bool"],
)
def test_classes_of_any_kind(labels, data, tmp_path):
    X, y = data
    y = labels[np.searchsorted(LABELS, y)]
    model = classifier().fit(X, y.tolist())
    assert_array_equal(model.classes_, np.unique(y))
    assert model.score(X, y) > 0.9
    io.save(model, tmp_path / "file")
    twin = io.load(tmp_path / "file")
    assert twin.classes_.dtype == model.classes_.dtype
    assert_array_equal(twin.predict(X), model.predict(X))


def test_names_of_classes_do_not_matter(data):
    X, y = data
    numbers = np.searchsorted(LABELS, y)
    one, other = classifier().fit(X, y), classifier().fit(X, numbers)
    assert_array_equal(one.predict(X), LABELS[other.predict(X)])
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def imbalanced():
    """60 rows of one class, 24 of another and 6 of a third."""
    y = np.repeat(["ash", "birch", "cedar"], [60, 24, 6])
    return np.random.RandomState(0).randn(90, 5), y


@pytest.mark.parametrize("seed", range(5))
def test_rows_set_aside_are_of_each_class_in_proportion(seed, monkeypatch):
    """Against scikit-learn's own split, the one of its MLPClassifier."""
    seen = []
    split = HyperVQClassifier._split
    monkeypatch.setattr(
        HyperVQClassifier,
        "_split",
        lambda self, *given: seen.append(split(self, *given)) or seen[-1],
    )
    X, y = imbalanced()
    model = classifier(early_stopping=True, validation_fraction=0.2, random_state=seed)
    model.set_params(max_iter=1).fit(X, y)
    train, held_out = seen[0]
    assert np.bincount(held_out.target).tolist() == [12, 5, 1]
    both = np.vstack([train.X, held_out.X])
    assert len(train.X) == 72
    assert_array_equal(np.sort(both, axis=0), np.sort(X, axis=0))
    _, expected = train_test_split(y, test_size=0.2, stratify=y, random_state=seed)
    assert np.unique(expected, return_counts=True)[1].tolist() == [12, 5, 1]


@pytest.mark.parametrize(
    ("y", "validation_fraction", "message"),
    [
        (["ash"] + ["birch"] * 59, 0.2, "least populated classes"),
        (["ash", "birch"] * 30, 0.01, "number of classes = 2"),
    ],
)
def test_classes_too_small_for_a_share_are_an_error_as_in_scikit_learn(
    y, validation_fraction, message
):
    X = imbalanced()[0][:60]
    given = {"early_stopping": True, "validation_fraction": validation_fraction}
    # of two classes: of more, scikit-learn 1.9 leaves the proportions to chance
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**given).fit(X, y)
    with pytest.raises(ValueError, match=message + ".*early_stopping=False"):
        classifier(**given).fit(X, y)
    classifier(**given).fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("class_weight", ["balanced", {"ash": 0.5, "cedar": 4.0}])
def test_weights_of_classes_are_weights_of_their_rows(class_weight):
    X, y = imbalanced()
    plain, model = classifier(), classifier(class_weight=class_weight)
    weight = compute_sample_weight(class_weight, y)
    expected = plain.fit(X, y, sample_weight=weight)
    assert_allclose(model.fit(X, y).loss_curve_, expected.loss_curve_)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X))
    assert model.loss_curve_ != classifier().fit(X, y).loss_curve_


def test_balanced_classes_count_the_weights_of_rows():
    X, y = imbalanced()
    repeats = np.arange(90) % 3
    model = classifier(class_weight="balanced")
    often = clone(model).fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    model.fit(X, y, sample_weight=repeats)
    assert_allclose(model.loss_curve_, often.loss_curve_)
    # a class of no weight is not there to be balanced
    present = y != "birch"
    alone = clone(model).fit(X[present], y[present])
    model.fit(X, y, sample_weight=present)
    assert_allclose(model.loss_curve_, alone.loss_curve_)


def test_a_warm_start_may_lack_a_class(data):
    X, y = data
    model = classifier(class_weight="balanced", warm_start=True).fit(X, y)
    present = y != "cedar"
    model.fit(X[present], y[present])
    assert_array_equal(model.classes_, LABELS)


def test_early_stopping(data):
    X, y = data
    model = classifier(
        early_stopping=True, validation_fraction=0.25, n_iter_no_change=3, max_iter=200
    )
    model.fit(X, y)
    assert model.n_iter_ < 180
    assert len(model.validation_scores_) == model.n_iter_
    # noise, which can be learnt by heart only
    noise, of_noise = np.random.RandomState(0).randn(160, 8), np.tile(LABELS, 40)
    model = classifier(max_iter=60, n_iter_no_change=99, codebook_size=16)
    model.fit(noise[:60], of_noise[:60], X_val=noise[60:], y_val=of_noise[60:])
    scores = model.validation_scores_
    assert scores[-1] < max(scores)
    surprise = -model.predict_log_proba(noise[60:])
    surprise = surprise[np.arange(100), np.searchsorted(LABELS, of_noise[60:])]
    rebuilt = model.inverse_transform(model.transform(noise[60:]))
    error = np.mean((noise[60:] - rebuilt) ** 2) / model.scale_**2
    assert surprise.mean() + 0.1 * error == pytest.approx(-max(scores), rel=1e-6)


def test_warm_start(data):
    X, y = data
    model = classifier(warm_start=True, max_iter=10).fit(X, y)
    first = model.error_curve_[0]
    assert model.fit(X, y).error_curve_[0] < first
    # some of the classes are enough to go on
    model.fit(X[y != "ash"], y[y != "ash"])
    assert_array_equal(model.classes_, LABELS)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"y has the class 'elm'.*'ash', 'birch'"):
        model.fit(X, np.where(y == "ash", "elm", y))
    with pytest.raises(ValueError, match="latent_dim"):
        copy.deepcopy(model).set_params(latent_dim=5).fit(X, y)
    assert_array_equal(model.predict_proba(X), expected)
    model.set_params(warm_start=False).fit(X, np.where(y == "ash", "elm", y))
    assert model.classes_.tolist() == ["birch", "cedar", "dogwood", "elm"]


def test_pictures(tmp_path):
    """The head reads all positions."""
    rng = np.random.RandomState(0)
    y = np.arange(120) % 2
    X = 0.1 * rng.randn(120, 1, 4, 8)
    X[y == 0, 0, :, :4] += 1
    X[y == 1, 0, :, 4:] += 1
    model = HyperVQClassifier(
        3,
        latent_dim=2,
        input_shape=(1, 4, 8),
        n_channels=4,
        max_iter=20,
        batch_size=16,
        learning_rate=1e-2,
        random_state=0,
    ).fit(X.reshape(120, -1), y)
    assert model.codes_shape_ == (1, 1, 2)
    assert model.weights_["head.weight"].shape == (2, 4)
    assert model.score(X.reshape(120, -1), y) > 0.95
    assert model.transform(X.reshape(120, -1)).shape == (120, 2)
    io.save(model, tmp_path / "file")
    twin, flat = io.load(tmp_path / "file"), X.reshape(120, -1)
    assert_array_equal(twin.predict_proba(flat), model.predict_proba(flat))
    assert_array_equal(twin.predict_proba(flat[5:6]), model.predict_proba(flat)[5:6])


# scikit-learn's machinery


def test_pipeline_grid_search_and_cross_validation(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), classifier())
    scaled = StandardScaler().fit_transform(X)
    alone = classifier().fit(scaled, y)
    assert_array_equal(pipeline.fit(X, y).predict(X), alone.predict(scaled))
    assert pipeline.score(X, y) == alone.score(scaled, y)
    grid = {"hypervqclassifier__codebook_size": [1, 8]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_ == {"hypervqclassifier__codebook_size": 8}
    assert min(cross_val_score(classifier(), X, y, cv=3)) > 0.8


def test_calibration(data):
    X, y = data
    model = CalibratedClassifierCV(classifier(), cv=2).fit(X[:180], y[:180])
    assert model.score(X[180:], y[180:]) > 0.8
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_validation_rows_go_through_a_pipeline(data):
    X, y = data
    with config_context(enable_metadata_routing=True):
        model = classifier().set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    scaler = StandardScaler().fit(X[:200])
    X_val = scaler.transform(X[200:])
    alone = classifier().fit(scaler.transform(X[:200]), y[:200], None, X_val, y[200:])
    assert pipeline[-1].validation_scores_ == alone.validation_scores_


def test_frames_and_names(data):
    X, y = data
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(8)])
    model = classifier().fit(frame, pd.Series(y, name="tree"))
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert_array_equal(model.predict(frame), classifier().fit(X, y).predict(X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.warns(UserWarning, match="column-vector y"):
        classifier(max_iter=1).fit(X, y[:, None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(dtype, data):
    X, y = data[0].astype(dtype), data[1]
    model = classifier().fit(X, y)
    assert model.weights_["head.weight"].dtype == dtype
    assert model.embed(X).dtype == dtype
    assert model.predict_proba(X).dtype == np.float64
    assert model.score(X, y) > 0.9


def test_callbacks_see_the_classes(data):
    entries = []
    model = classifier(max_iter=5).set_callbacks(EpochLog(entries.append))
    model.fit(*data)
    assert len(entries) == 5


# copies and files


@levels
def test_copies_and_files_predict_the_same(n_levels, data, tmp_path):
    X, y = data
    model = classifier(n_levels).fit(X, y)
    joblib.dump(model, tmp_path / "joblib")
    io.save(model, tmp_path / "file")
    copies = (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(tmp_path / "joblib"),
        io.load(tmp_path / "file"),
    )
    expected = model.predict_proba(X)
    for twin in copies:
        assert_array_equal(twin.predict_proba(X), expected)
        assert_array_equal(twin.transform(X), model.transform(X))
        assert_array_equal(twin.classes_, model.classes_)
    assert b"torch" not in pickle.dumps(model)


def exchange(name, shape):
    def change(model):
        model.weights_[name] = np.zeros(shape)

    return change


def attribute(name, value):
    return lambda model: setattr(model, name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (exchange("head.weight", (4, 5)), r"head\.weight has shape \(4, 5\)"),
        (exchange("head.weight", (8, 4)), r"head\.weight has shape \(8, 4\)"),
        (exchange("head.bias", (3,)), r"head\.bias has shape \(3,\)"),
        (attribute("classes_", LABELS[:3]), r"head\.weight has shape"),
        (attribute("gains_", [np.ones(7)]), r"gains_\[0\] has shape \(7,\)"),
        (exchange("encoder.0.weight", (8, 16)), "encoder"),
    ],
)
def test_files_that_do_not_go_together(change, message, data, tmp_path, monkeypatch):
    model = classifier(max_iter=2).fit(*data)
    change(model)
    with monkeypatch.context() as patch:
        patch.setattr(io, "check_consistent", lambda _: None)
        io.save(model, tmp_path / "file")
    with pytest.raises(ValueError, match=f"cannot be loaded.*{message}"):
        io.load(tmp_path / "file")


# what cannot be used


def test_one_class_only(data):
    model = classifier()
    with pytest.raises(ValueError, match=r"one class only.*: 'ash'"):
        model.fit(data[0], np.repeat("ash", 240))
    assert not hasattr(model, "classes_")


def test_errors_leave_what_was_fitted(data):
    X, y = data
    model = classifier().fit(X, y)
    expected = model.predict(X)
    bad = X.copy()
    bad[0, 0] = np.nan
    other = np.where(y == "ash", "elm", y)
    for call in (
        lambda: model.fit(bad, other),
        lambda: model.fit(X[:, :5], other, X_val=X, y_val=y),
        lambda: model.fit(X, other, sample_weight=-np.ones(240)),
        lambda: model.fit(X, np.repeat("ash", 240)),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()
        assert_array_equal(model.predict(X), expected)
        assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y"),
        (np.linspace(0, 1, 240), "continuous"),
        (np.full((240, 2), "ash"), "1d array|y should be"),
        (np.repeat("ash", 100), "inconsistent"),
        (np.r_[np.nan, np.zeros(239)], "y contains NaN"),
        (np.r_[np.inf, np.zeros(239)], "y contains infinity"),
        (np.array([None, "ash"] * 120, dtype=object), r"\w"),
    ],
    ids=["none", "continuous", "matrix", "short", "nan", "inf", "no names"],
)
def test_targets_that_are_no_classes(y, message, data):
    with pytest.raises((ValueError, TypeError), match=message):
        classifier().fit(data[0], y)


def test_no_samples(data):
    X, y = data
    with pytest.raises(ValueError, match=r"y has 0 sample\(s\)"):
        classifier().fit(X[:0], y[:0])


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"X_val": True}, "go together"),
        ({"y_val": True}, "go together"),
        ({"X_val": True, "y_val": "elm"}, r"y_val has the class 'elm'.*Leave it out"),
        ({"X_val": True, "y_val": "short"}, "inconsistent"),
    ],
)
def test_validation_rows_that_cannot_be_used(validation, message, data):
    X, y = data
    given = {}
    if "X_val" in validation:
        given["X_val"] = X[:9]
    if "y_val" in validation:
        kinds = {True: y[:9], "elm": np.repeat("elm", 9), "short": y[:5]}
        given["y_val"] = kinds[validation["y_val"]]
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y, **given)


def test_more_codes_than_rows(data):
    X, y = data
    for n_levels in (1, 2):
        with pytest.raises(ValueError, match=r"codebook_size=8 .*n_samples = 7\."):
            classifier(n_levels).fit(X[:7], y[:7])
        twice = np.repeat(X[:7], 2, axis=0), np.repeat(y[:7], 2)
        with pytest.warns(ConvergenceWarning, match=r"codebook_size=8.*have \[7"):
            model = classifier(n_levels).fit(*twice)
        assert set(model.predict(X)) <= set(y[:7])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("reconstruction_weight", -0.1),
        ("entropy_weight", -1),
        ("temperature", 0),
        ("temperature", (1.0, 0.0)),
        ("gradient", "straight-through"),
        ("class_weight", "equal"),
        ("class_weight", {"ash": 0.0}),
        ("encoder", "hyperbolic"),
        ("codebook_size", 0),
        ("n_levels", 0),
        ("curvature", -1.0),
    ],
)
def test_parameters_out_of_range(parameter, value, data):
    model = classifier(**{parameter: value})
    with pytest.raises(ValueError, match=parameter):
        model.fit(*data)
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "n_features_in_")
