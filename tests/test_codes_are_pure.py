"""Codes are a function of the row alone: not of its company or its storage."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from contract import CODERS, INSTANCES, fitted, name
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from skhyper.base import BaseCoder
from skhyper.datasets import load_naics, make_tree
from skhyper.manifolds._nearest import BLOCK_ROWS
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

N_ROWS = 2 * BLOCK_ROWS + 300
N_FEATURES = 70

every_estimator = pytest.mark.parametrize("estimator", INSTANCES, ids=name)
every_coder = pytest.mark.parametrize("estimator", CODERS, ids=name)


def build(estimator):
    """A model, rows many of which lie half way between two codes, and their output."""
    X, _ = make_tree(N_ROWS, N_FEATURES, branching=4, depth=2, random_state=0)
    model = fitted(estimator, X[:200])
    if isinstance(model, BaseCoder):
        grid = np.stack(np.meshgrid(*map(range, model._sizes())), axis=-1)
        codes = model.inverse_transform(grid.reshape(-1, grid.shape[-1]))
    else:
        codes = model.cluster_centers_
    one, other = np.random.RandomState(0).randint(len(codes), size=(2, N_ROWS // 2))
    X[::2] = (codes[one] + codes[other])[: len(X[::2])] / 2
    return model, X, output(model, X)


cached = cache(lambda index: build(INSTANCES[index]))


def case(estimator):
    return cached(INSTANCES.index(estimator))


def output(model, X):
    """Codes, or distances and labels, of rows."""
    first = model.transform(X)
    return first if isinstance(model, BaseCoder) else np.c_[first, model.predict(X)]


def assert_same(actual, expected):
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@every_estimator
def test_rows_reach_several_codes(estimator):
    _, _, expected = case(estimator)
    n_levels = getattr(estimator, "n_levels", 1)
    assert len(np.unique(expected, axis=0)) > (8 if n_levels > 1 else 2)
    assert np.isfinite(expected).all()


@every_estimator
@pytest.mark.parametrize(
    "n", [1, 2, 3, 17, 255, 256, 257, 341, 342, 512, 1023, 1024, 1025, 2047, 2049]
)
def test_number_of_rows(estimator, n):
    model, X, expected = case(estimator)
    assert_same(output(model, X[:n]), expected[:n])
    assert_same(output(model, X[-n:]), expected[-n:])


@every_estimator
def test_one_row_at_a_time(estimator):
    model, X, expected = case(estimator)
    alone = [output(model, X[i : i + 1]) for i in range(0, N_ROWS, 29)]
    assert_same(np.concatenate(alone), expected[::29])


@every_estimator
@settings(max_examples=8)
@given(rows=st.lists(st.integers(0, N_ROWS - 1), min_size=1, max_size=600))
def test_any_selection_of_rows(estimator, rows):
    model, X, expected = case(estimator)
    assert_same(output(model, X[rows]), expected[rows])


@every_estimator
def test_order_and_repetition_of_rows(estimator):
    model, X, expected = case(estimator)
    order = np.random.RandomState(0).permutation(N_ROWS)
    assert_same(output(model, X[order]), expected[order])
    assert_same(output(model, np.r_[X[5:], X]), np.r_[expected[5:], expected])


@every_estimator
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_number_of_threads(estimator, threads):
    model, X, expected = case(estimator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            assert_same(output(model, X), expected)
    finally:
        torch.set_num_threads(before)


@every_estimator
def test_calls_at_the_same_time(estimator):
    model, X, expected = case(estimator)
    with ThreadPoolExecutor(3) as pool:
        for actual in pool.map(lambda _: output(model, X), range(3)):
            assert_same(actual, expected)


@every_estimator
def test_memory_layout(estimator, tmp_path):
    model, X, expected = case(estimator)
    read_only = X.copy()
    read_only.setflags(write=False)
    wide = np.full((N_ROWS, 2 * N_FEATURES), np.nan)
    wide[:, ::2] = X
    tall = np.full((3 * N_ROWS, N_FEATURES), np.nan)
    tall[::3] = X
    unaligned = np.empty(X.nbytes + 1, dtype=np.uint8)[1:].view(X.dtype)
    unaligned = unaligned.reshape(X.shape)
    unaligned[:] = X
    np.save(tmp_path / "X.npy", X)
    layouts = {
        "Fortran": np.asfortranarray(X),
        "read-only": read_only,
        "columns of a wider array": wide[:, ::2],
        "rows of a longer array": tall[::3],
        "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
        "unaligned": unaligned,
        "big-endian": X.astype(">f8"),
        "memory map": np.load(tmp_path / "X.npy", mmap_mode="r"),
        "tensor": torch.from_numpy(X),
        "list": X.tolist(),
    }
    for layout, stored in layouts.items():
        assert output(model, stored).tobytes() == expected.tobytes(), layout


@every_estimator
def test_float32_rows(estimator):
    model, X, _ = case(estimator)
    X = X.astype(np.float32)
    expected = output(model, X)
    assert_same(output(model, X), expected)
    assert_same(output(model, np.asfortranarray(X[700:])), expected[700:])


@pytest.mark.parametrize(
    "estimator", [e for e in CODERS if "quantizers" in type(e).__module__], ids=name
)
def test_shallow_codes_of_float32_rows_are_those_of_their_values(estimator):
    model, X, _ = case(estimator)
    X = X.astype(np.float32)
    assert_same(model.transform(X), model.transform(X.astype(np.float64)))


@every_estimator
def test_transform_changes_nothing(estimator):
    X, _ = make_tree(50, 4, random_state=0)
    model, kept = fitted(estimator, X), X.copy()
    before = {k: repr(v) for k, v in vars(model).items()}
    output(model, X)
    assert_array_equal(X, kept)
    assert {k: repr(v) for k, v in vars(model).items()} == before


@every_estimator
def test_random_state(estimator):
    X, _ = make_tree(100, 4, random_state=0)
    first, again, instance = (
        output(clone(estimator).set_params(random_state=state).fit(X), X)
        for state in (7, 7, np.random.RandomState(7))
    )
    assert_same(again, first)
    assert_same(instance, first)


@every_estimator
def test_global_generators_are_left_alone(estimator):
    X, _ = make_tree(100, 4, random_state=0)
    states = [
        random.getstate(),
        check_random_state(None).get_state(legacy=False)["state"],
        torch.get_rng_state(),
    ]
    output(fitted(estimator, X), X)
    assert random.getstate() == states[0]
    now = check_random_state(None).get_state(legacy=False)["state"]
    assert now["pos"] == states[1]["pos"]
    assert_array_equal(now["key"], states[1]["key"])
    assert torch.equal(torch.get_rng_state(), states[2])


DEEP = {"n_levels": 4, "codebook_size": 8, "random_state": 0}
TRAINED = {**DEEP, "latent_dim": 8, "hidden_layer_sizes": (32,), "max_iter": 30}


@pytest.mark.parametrize("data", ["naics", "tree"])
@pytest.mark.parametrize(
    "estimator",
    [
        ResidualQuantizer(**DEEP),
        ResidualQuantizer(**DEEP, refit=True, beam_size=4),
        HyperbolicResidualQuantizer(**DEEP),
        HyperbolicResidualQuantizer(**DEEP, residual="paper"),
        HyperbolicResidualQuantizer(**DEEP, residual="tangent"),
        RQVAETokenizer(**TRAINED),
        HRQVAETokenizer(**TRAINED),
    ],
    ids=name,
)
def test_every_prefix_decodes_and_the_error_falls(estimator, data):
    if data == "naics":
        X = load_naics().data[::2].astype(np.float64)
    else:
        X, _ = make_tree(500, 8, random_state=0)
    model = clone(estimator).fit(X)
    codes = model.transform(X)
    decoded = [model.inverse_transform(codes[:, :m]) for m in range(1, 5)]
    errors = [np.mean((X - X_hat) ** 2) for X_hat in decoded]
    assert np.all(np.diff(errors) < 0)
    assert errors[0] < np.mean((X - X.mean(axis=0)) ** 2)
    assert -model.score(X) == pytest.approx(errors[-1])
    # a prefix decodes like the same prefix of another row
    alike = codes[:, :2] == codes[0, :2]
    same = np.flatnonzero(alike.all(axis=1))
    assert_array_equal(decoded[1][same], np.repeat(decoded[1][:1], len(same), axis=0))
