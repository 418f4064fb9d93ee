"""The contract of estimators over labels, edges and codes.

scikit-learn's own checks fit matrices of floats; what they ask for is asked here.
"""

import copy
import io as python_io
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skhyper import io
from skhyper.generative import (
    CodeIndex,
    GenerativeRecommender,
    GenerativeRetriever,
    SASRecRecommender,
    TokenPrior,
)
from skhyper.hierarchy import HierarchyTokenizer, PoincareEmbedding

EDGES = [("b", "a"), ("c", "a"), ("d", "b"), ("e", "b"), ("f", "c"), ("g", "c")]
CODES = np.array([[i % 3, i % 4, i % 2] for i in range(24)])
NODES = {"max_iter": 4}
CODED = {**NODES, "n_levels": 2, "codebook_size": 3, "latent_dim": 3}
NAMES = [f"item {i:02}" for i in range(12)]
INDEX = CodeIndex().fit(CODES[:12], NAMES)
SEQUENCES = [[NAMES[(3 * i + j) % 12] for j in range(5)] for i in range(9)]
NETWORK = {"d_model": 8, "n_layers": 1, "n_heads": 2, "max_iter": 2}


def of_nodes(estimator):
    labels = list("gfa")
    return [estimator.transform(labels), estimator.neighbors(labels, k=2)]


def of_tokens(estimator):
    labels = list("gfa")
    return [
        *of_nodes(estimator),
        estimator.codes_,
        estimator.quantize(labels),
        estimator.inverse_transform(estimator.codes_),
    ]


def of_prior(estimator):
    return [estimator.score_samples(CODES), estimator.sample(5, random_state=0)]


def of_retriever(estimator):
    return [
        estimator.predict(CODES, k=3),
        estimator.score_samples(CODES, CODES[::-1]),
    ]


def of_recommender(estimator):
    return [estimator.recommend(SEQUENCES, k=12), estimator.score(SEQUENCES)]


# an estimator, what it is fitted to, and what it says
CASES = [
    (PoincareEmbedding(3, **NODES), (EDGES,), of_nodes),
    (PoincareEmbedding(3, **NODES, geometry="euclidean"), (EDGES,), of_nodes),
    (PoincareEmbedding(3, **NODES, optimizer="rsgd"), (EDGES,), of_nodes),
    (HierarchyTokenizer(**CODED), (EDGES,), of_tokens),
    (HierarchyTokenizer(**CODED, geometry="euclidean"), (EDGES,), of_tokens),
    (HierarchyTokenizer(**CODED, codebook_update="ema"), (EDGES,), of_tokens),
    (TokenPrior(**NETWORK), (CODES,), of_prior),
    (GenerativeRetriever(**NETWORK), (CODES, CODES[::-1]), of_retriever),
    (GenerativeRecommender(INDEX, **NETWORK), (SEQUENCES,), of_recommender),
    (
        GenerativeRecommender(INDEX, **NETWORK, prefix_embeddings=False),
        (SEQUENCES,),
        of_recommender,
    ),
    (SASRecRecommender(**NETWORK), (SEQUENCES,), of_recommender),
]
every_case = pytest.mark.parametrize(
    ("estimator", "given", "said"),
    CASES,
    ids=lambda value: " ".join(repr(value).split()) if hasattr(value, "fit") else "",
)


def fitted(estimator, given, seed=0):
    return clone(estimator).set_params(random_state=seed).fit(*given)


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert_array_equal(one, other)


@every_case
def test_parameters_are_kept_as_given(estimator, given, said):
    twin = clone(estimator)
    params = twin.get_params()
    assert params == estimator.get_params()
    twin.set_params(random_state=0).fit(*given)
    assert twin.get_params() == {**params, "random_state": 0}
    with pytest.raises(ValueError, match="no_such_parameter"):
        twin.set_params(no_such_parameter=1)


@every_case
def test_fit_gives_itself_and_sets_only_attributes_that_end_so(estimator, given, said):
    twin = clone(estimator).set_params(random_state=0)
    before = set(vars(twin))
    with pytest.raises(NotFittedError):
        said(twin)
    assert twin.fit(*given) is twin
    check_is_fitted(twin)
    for name in set(vars(twin)) - before:
        assert name.endswith("_") or name.startswith("_"), name
    for value in vars(twin).values():
        assert not isinstance(value, torch.Tensor | torch.nn.Module)


@every_case
def test_a_seed_decides_everything(estimator, given, said):
    expected = said(fitted(estimator, given))
    assert_same(said(fitted(estimator, given)), expected)
    other = said(fitted(estimator, given, seed=1))
    assert any(not np.array_equal(a, b) for a, b in zip(other, expected, strict=True))


@every_case
def test_a_random_state_moves_on(estimator, given, said):
    rng = np.random.RandomState(0)
    model = clone(estimator).set_params(random_state=rng)
    first, second = said(model.fit(*given)), said(model.fit(*given))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@every_case
def test_global_generators_are_left_alone(estimator, given, said):
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    said(fitted(estimator, given))
    assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@every_case
def test_a_second_fit_is_as_the_first(estimator, given, said):
    model = fitted(estimator, given)
    expected = said(model)
    assert_same(said(model.fit(*given)), expected)


@every_case
def test_what_is_given_is_not_changed(estimator, given, said):
    kept = copy.deepcopy(given)
    said(fitted(estimator, given))
    for one, other in zip(given, kept, strict=True):
        assert_array_equal(one, other)


@every_case
def test_copies_say_the_same(estimator, given, said):
    model = fitted(estimator, given)
    expected = said(model)
    assert_same(said(copy.deepcopy(model)), expected)
    pickled = pickle.dumps(model)
    assert b"torch" not in pickled
    assert_same(said(pickle.loads(pickled)), expected)
    file = python_io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    assert_same(said(joblib.load(file)), expected)


@every_case
def test_files_say_the_same(estimator, given, said, tmp_path):
    model = fitted(estimator, given)
    io.save(model, tmp_path / "model")
    twin = io.load(tmp_path / "model")
    assert type(twin) is type(model)
    assert_same(said(twin), said(model))
    # a loaded index is another object
    assert str(twin.get_params()) == str(model.get_params())
    io.save(twin, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@every_case
def test_damaged_files_are_refused(estimator, given, said, tmp_path):
    io.save(fitted(estimator, given), tmp_path / "model")
    whole = (tmp_path / "model").read_bytes()
    for damaged in (whole[:-9], whole[:-9] + bytes(9), b""):
        (tmp_path / "model").write_bytes(damaged)
        with pytest.raises(ValueError, match="model"):
            io.load(tmp_path / "model")


@every_case
def test_a_failed_fit_leaves_what_was_fitted(estimator, given, said):
    model = fitted(estimator, given)
    expected = said(model)
    with pytest.raises(ValueError, match="max_iter"):
        model.set_params(max_iter=0).fit(*given)
    model.set_params(max_iter=4)
    with pytest.raises(ValueError, match=r"edges|codes|sequences"):
        model.fit(*[[] for _ in given])
    assert_same(said(model), expected)


@every_case
def test_callbacks_hear_every_epoch(estimator, given, said):
    heard = []

    class Listener:
        max_propagation_depth = None

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "epoch":
                # codes start late, and before them nothing is fitted
                if fitted_estimator is not None:
                    said(fitted_estimator)
                heard.append(fitted_estimator)

    model = clone(estimator).set_params(random_state=0)
    model.set_callbacks(Listener()).fit(*given)
    assert len(heard) == model.n_iter_ == len(model.loss_curve_)
    assert heard[-1].loss_curve_ == model.loss_curve_


@every_case
def test_verbose_logs_a_line_an_epoch(estimator, given, said, caplog):
    with caplog.at_level("INFO", logger="skhyper"):
        model = clone(estimator).set_params(verbose=1, random_state=0).fit(*given)
    lines = sum("epoch" in line for line in caplog.messages)
    assert lines == model.n_iter_


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@every_case
def test_an_accelerator_learns_too(estimator, given, said):
    model = clone(estimator).set_params(device="cuda", random_state=0).fit(*given)
    said(model)
    assert np.isfinite(model.loss_curve_).all()
