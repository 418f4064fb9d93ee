"""Data and codes that a tokenizer cannot use, or only just."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skhyper.datasets import make_tree
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

SMALL = {
    "n_levels": 2,
    "codebook_size": 8,
    "latent_dim": 3,
    "hidden_layer_sizes": (8,),
    "max_iter": 12,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def X():
    return make_tree(100, 5, branching=3, depth=2, random_state=0)[0]


@pytest.fixture(params=[RQVAETokenizer, HRQVAETokenizer], ids=lambda c: c.__name__)
def tokenizer(request):
    return request.param(**SMALL)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(tokenizer, X, bad):
    broken = X.copy()
    broken[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        tokenizer.fit(broken)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        tokenizer.fit(X).transform(broken)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5,), "2D array"), ((0, 5), "0 sample"), ((2, 3, 5), "dim 3")],
)
def test_shapes(tokenizer, X, shape, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(np.ones(shape))
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(X).transform(np.ones(shape))


def test_fewer_samples_than_codes(tokenizer, X):
    message = "codebook_size=8 asks for more codes.*n_samples = 5. Lower codebook_size"
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(X[:5])


def test_fewer_distinct_samples_than_codes(tokenizer, X):
    with pytest.warns(
        ConvergenceWarning, match=r"codebook_size=8.*have \[5, 1\] codes"
    ):
        tokenizer.fit(np.repeat(X[:5], 2, axis=0))
    assert len(np.unique(tokenizer.transform(X[:5])[:, 0])) > 1
    assert tokenizer.inverse_transform(tokenizer.transform(X)).shape == X.shape


def test_constant_rows(tokenizer):
    rows = np.full((20, 4), 7.5)
    with pytest.warns(ConvergenceWarning, match=r"have \[1, 1\] codes"):
        tokenizer.fit(rows)
    codes = tokenizer.transform(rows)
    assert not codes.any()
    assert np.abs(tokenizer.inverse_transform(codes) - 7.5).max() < 1


def test_repeated_rows(tokenizer, X):
    rows = np.repeat(X[:20], 6, axis=0)
    codes = tokenizer.fit(rows).transform(rows)
    np.testing.assert_array_equal(codes, np.repeat(codes[::6], 6, axis=0))


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.int64])
def test_other_dtypes_are_taken_as_float64(tokenizer, X, dtype):
    rows = (10 * X).astype(dtype)
    codes = tokenizer.fit(rows).transform(rows)
    np.testing.assert_array_equal(tokenizer.transform(rows.astype(float)), codes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 8]], "token 8 in row 0, level 1"),
        ([[-1, 0]], "token -1"),
        ([[0, 0, 0]], "3 columns, expected 1 to 2"),
        ([[0.0, 1.0]], r"astype\(np.int64\)"),
        ([0, 1], r"reshape\(1, -1\)"),
        (np.empty((0, 2), dtype=int), "0 samples"),
    ],
)
def test_codes_that_stand_for_nothing(tokenizer, X, codes, message):
    tokenizer.fit(X)
    with pytest.raises(ValueError, match=message):
        tokenizer.inverse_transform(codes)


def test_other_widths_and_unfitted(tokenizer, X):
    with pytest.raises(NotFittedError):
        tokenizer.embed(X)
    tokenizer.fit(X)
    for method in (tokenizer.transform, tokenizer.embed, tokenizer.score):
        with pytest.raises(ValueError, match=r"4 features, but .* expecting 5"):
            method(X[:, :4])


@pytest.mark.parametrize(
    ("weight", "message"),
    [(0.0, "zero|positive"), (-1.0, "egative"), (np.nan, "NaN")],
)
def test_weights(tokenizer, X, weight, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(X, sample_weight=np.full(len(X), weight))
