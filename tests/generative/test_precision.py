"""What training multiplies matrices in."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn.functional import scaled_dot_product_attention

from skhyper._nn._runtime import resolve_precision
from skhyper._nn._transformer import _attention
from skhyper.generative import (
    CodeIndex,
    GenerativeRecommender,
    GenerativeRetriever,
    SASRecRecommender,
    TokenPrior,
)

CPU = torch.device("cpu")
SMALL = {"d_model": 32, "n_layers": 1, "max_iter": 8, "random_state": 0}


CODES = np.unique(np.random.default_rng(0).integers(0, 8, size=(60, 3)), axis=0)
WALKS = [np.arange(start, start + 6) % len(CODES) for start in range(60)]


def fit(kind, precision):
    """Return one of the four, fitted."""
    given = SMALL | {"precision": precision}
    if kind == "prior":
        return TokenPrior(n_levels=3, codebook_size=8, **given).fit(CODES)
    if kind == "retriever":
        return GenerativeRetriever(**given).fit(CODES, CODES[::-1])
    if kind == "SASRec":
        return SASRecRecommender(**given).fit(WALKS)
    index = CodeIndex().fit(CODES, np.arange(len(CODES)))
    return GenerativeRecommender(index, **given).fit(WALKS)


def use(model):
    """Return what a fitted one says."""
    if isinstance(model, TokenPrior):
        return model.score_samples(CODES)
    if isinstance(model, GenerativeRetriever):
        return model.predict(CODES, k=3)
    return model.recommend(WALKS, k=3)


kinds = pytest.mark.parametrize("kind", ["prior", "retriever", "recommender", "SASRec"])


@kinds
def test_bfloat16_learns_what_float32_does(kind):
    exact = fit(kind, "float32")
    rounded = fit(kind, "bfloat16")
    assert_allclose(rounded.loss_curve_, exact.loss_curve_, rtol=0.01)
    assert rounded.loss_curve_ != exact.loss_curve_  # it was used
    for name, weight in rounded.weights_.items():
        assert weight.dtype == np.float32
        assert weight.shape == exact.weights_[name].shape


@kinds
def test_auto_is_the_one_that_the_processor_is_made_for(kind):
    precision = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
    expected = fit(kind, precision[resolve_precision("auto", CPU)])
    found = fit(kind, "auto")
    assert found.loss_curve_ == expected.loss_curve_


@kinds
def test_use_is_in_float32(kind):
    model = fit(kind, "bfloat16")
    other = pickle.loads(pickle.dumps(model)).set_params(precision="float32")
    assert_array_equal(use(other), use(model))


@pytest.mark.parametrize(
    ("can", "expected"),
    [
        ({}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_asks_the_processor(monkeypatch, can, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("float32", CPU) == torch.float32
    assert resolve_precision("bfloat16", CPU) == torch.bfloat16


def test_auto_where_torch_does_not_know_the_processor(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize("case", ["all", "causal", "mask"])
def test_attention_is_that_of_torch(case):
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = torch.randn(3, 5, 2, 7, 4, generator=generator)
    mask = torch.randn(5, 2, 1, 7, generator=generator)
    mask[..., 3:5] = -1e9
    given = {"all": (None, False), "causal": (None, True), "mask": (mask, False)}[case]
    expected = scaled_dot_product_attention(
        queries, keys, values, given[0], is_causal=given[1]
    )
    for dtype, atol in ((torch.float64, 1e-6), (torch.bfloat16, 0.05)):
        parts = (part.to(dtype) for part in (queries, keys, values))
        found = _attention(*parts, *given)
        assert found.dtype == dtype
        assert_allclose(found.double(), expected.double(), atol=atol)


def test_unknown_precision():
    with pytest.raises(ValueError, match="'precision' parameter of TokenPrior"):
        fit("prior", "float16")
