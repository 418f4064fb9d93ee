"""Bits per dimension: a slow twin in mpmath, its scale, and the bound that it is."""

import itertools

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import entropy
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper import ResidualQuantizer
from skhyper.datasets import load_naics
from skhyper.generative import TokenPrior, reconstruction_scale
from skhyper.generative._likelihood import log_mass

LIKELIHOODS = ["gaussian", "logistic"]

CENTERS = np.array([[0.0, 0.2, 0.4], [10.0, 0.3, -0.4], [-20.0, 5.0, 0.1]])


class Nearest:
    """A tokenizer of one level, whose codebook is a table."""

    def transform(self, X):
        distance = ((np.asarray(X)[:, None] - CENTERS) ** 2).sum(axis=-1)
        return distance.argmin(axis=1)[:, None]

    def inverse_transform(self, codes):
        return CENTERS[codes[:, 0]]


def exact_log_mass(error, scale, bin_width, likelihood):
    """The same with as many digits as it takes."""
    with mpmath.workdps(60):
        error, scale, width = map(mpmath.mpf, (error, scale, bin_width))
        near, far = (error - width / 2) / scale, (error + width / 2) / scale
        if likelihood == "logistic":
            upper, beyond = (1 / (1 + mpmath.exp(t)) for t in (near, far))
        else:
            upper, beyond = (mpmath.erfc(t / mpmath.sqrt(2)) / 2 for t in (near, far))
        return float(mpmath.log(upper - beyond))


GRID = list(
    itertools.product(
        [0.0, 1e-9, 0.4999 / 255, 0.5 / 255, 0.01, 1.0, 37.0, 1e9],
        [1e-3, 0.1, 3.0, 1e3],
        [1e-12, 1e-7, 1e-3, 1 / 255, 1.0],
    )
)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_mass_of_a_bin_equals_mpmath(likelihood):
    for error, scale, bin_width in GRID:
        expected = exact_log_mass(error, scale, bin_width, likelihood)
        actual = log_mass(np.array([error]), scale, bin_width, likelihood)[0]
        assert actual == pytest.approx(expected, rel=1e-9, abs=1e-9), (
            error,
            scale,
            bin_width,
        )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_far_tails_stay_finite(likelihood):
    errors = np.array([1e2, 1e5, 1e8])
    mass = log_mass(errors, 1e-3, 1 / 255, likelihood)
    assert np.isfinite(mass).all()
    near = (errors - 0.5 / 255) / 1e-3
    leading = -near if likelihood == "logistic" else -near * near / 2
    assert_allclose(mass, leading, rtol=1e-6)
    # beyond all numbers it is no likelihood at all, and never a NaN
    assert log_mass(np.array([1e200]), 1e-3, 1.0, "gaussian")[0] == -np.inf


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("bin_width", [0.01, 0.7, 5.0])
def test_bins_share_out_all_of_the_mass(likelihood, bin_width):
    edges = 0.123 + bin_width * np.arange(-6000, 6001)
    mass = np.exp(log_mass(np.abs(edges), 0.8, bin_width, likelihood))
    assert mass.sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("bin_width", [1e-6, 0.05, 1.0])
def test_the_scale_is_that_of_the_largest_likelihood(likelihood, bin_width):
    rng = np.random.RandomState(0)
    X, X_hat = rng.standard_t(3, size=(50, 4)), rng.normal(size=(50, 4))
    found = reconstruction_scale(X, X_hat, bin_width=bin_width, likelihood=likelihood)
    errors = np.abs(X - X_hat)
    best = log_mass(errors, found, bin_width, likelihood).mean()
    for factor in np.geomspace(1e-2, 1e2, 401):
        other = log_mass(errors, found * factor, bin_width, likelihood).mean()
        assert other <= best + 1e-9
    assert log_mass(errors, found * 1.01, bin_width, likelihood).mean() < best - 1e-6


def test_the_scale_of_thin_bins_is_the_root_mean_square():
    X = np.random.RandomState(0).normal(2.0, 0.3, size=(40, 3))
    scale = reconstruction_scale(X, np.zeros_like(X), bin_width=1e-9)
    assert scale == pytest.approx(np.sqrt(np.mean(X**2)), rel=1e-3)
    laplace = reconstruction_scale(X, X + 1e-5, bin_width=1.0)
    # all values lie within their bins, which then cost nothing
    assert log_mass(np.full(1, 1e-5), laplace, 1.0, "gaussian")[0] > -1e-9
    assert reconstruction_scale(X, X, bin_width=1.0) < 0.1


@pytest.fixture(scope="module")
def data():
    """Data around the centers, on a grid of 1 / 10, and a prior of their codes."""
    rng = np.random.RandomState(0)
    which = rng.choice(3, 3000, p=[0.5, 0.3, 0.2])
    X = np.round(CENTERS[which] + rng.normal(scale=0.3, size=(3000, 3)), 1)
    prior = TokenPrior(d_model=8, max_iter=10, random_state=0).fit(which[:, None])
    return X, prior


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("scale", [0.02, 0.3, 4.0])
def test_bits_equal_a_slow_twin(data, likelihood, scale):
    X, prior = data
    X = np.r_[X[:20], [[40.0, -8.0, 3.0]]]  # far from everything
    tokenizer = Nearest()
    codes = tokenizer.transform(X)
    X_hat = tokenizer.inverse_transform(codes)
    nats = -sum(
        exact_log_mass(abs(x - x_hat), scale, 0.1, likelihood)
        for x, x_hat in zip(X.ravel(), X_hat.ravel(), strict=True)
    )
    nats -= sum(prior.score_samples(code[None])[0] for code in codes)
    actual = prior.bits_per_dim(
        X, tokenizer, bin_width=0.1, likelihood=likelihood, scale=scale
    )
    assert actual == pytest.approx(nats / X.size / np.log(2), rel=1e-9)


def test_bits_bound_the_entropy_of_the_data(data):
    X, prior = data
    grid = 0.1 * np.arange(-400, 401)
    mass = np.exp(log_mass(np.abs(grid), 0.3, 0.1, "gaussian"))
    # the clusters do not overlap, and the model is the truth: the bound is nearly met
    exact = (entropy([0.5, 0.3, 0.2]) / 3 + entropy(mass)) / np.log(2)
    bits = prior.bits_per_dim(X, Nearest(), bin_width=0.1)
    assert bits == pytest.approx(exact, abs=0.03)
    assert prior.bits_per_dim(X, Nearest(), bin_width=0.1, scale=0.6) > bits + 0.2
    logistic = prior.bits_per_dim(X, Nearest(), bin_width=0.1, likelihood="logistic")
    assert bits < logistic < bits + 0.1


def test_the_scale_may_be_fitted_elsewhere(data):
    X, prior = data
    tokenizer = Nearest()
    X_hat = tokenizer.inverse_transform(tokenizer.transform(X))
    scale = reconstruction_scale(X, X_hat, bin_width=0.1)
    assert scale == pytest.approx(0.3, rel=0.05)
    given = prior.bits_per_dim(X, tokenizer, bin_width=0.1, scale=scale)
    assert given == prior.bits_per_dim(X, tokenizer, bin_width=0.1)
    other = prior.bits_per_dim(X[:500], tokenizer, bin_width=0.1, scale=scale)
    assert other >= prior.bits_per_dim(X[:500], tokenizer, bin_width=0.1)


def test_with_estimators_of_the_package():
    X = load_naics().data[:300, :16]
    quantizer = ResidualQuantizer(2, 8, n_init=1, random_state=0)
    model = make_pipeline(StandardScaler(), quantizer)
    prior = TokenPrior(d_model=8, max_iter=5, random_state=0)
    prior.fit(model.fit_transform(X))
    bits = [prior.bits_per_dim(X, model, bin_width=w) for w in (1e-3, 2e-3)]
    assert bits[0] - bits[1] == pytest.approx(1, abs=0.01)
    quantizer.set_output(transform="pandas")
    assert prior.bits_per_dim(X, model, bin_width=1e-3) == bits[0]
    single = X.astype(np.float32)
    assert prior.bits_per_dim(single, model, bin_width=1e-3) == pytest.approx(
        bits[0], rel=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bin_width": 0}, "bin_width=0"),
        ({"bin_width": np.nan}, "bin_width=nan"),
        ({"bin_width": np.inf}, "bin_width=inf"),
        ({"likelihood": "laplace"}, "likelihood='laplace'"),
        ({"scale": 0.0}, r"scale=0\.0"),
        ({"scale": np.nan}, "scale=nan"),
    ],
)
def test_arguments_out_of_range(data, arguments, message):
    X, prior = data
    with pytest.raises(ValueError, match=message):
        prior.bits_per_dim(X, Nearest(), **arguments)


def test_what_cannot_be_measured(data):
    X, prior = data
    broken = X.copy()
    broken[1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        prior.bits_per_dim(broken, Nearest())
    with pytest.raises(ValueError, match=r"X has shape \(2, 3\) and its recons"):
        reconstruction_scale(X[:2], X[:3])
    with pytest.raises(ValueError, match="bin_width=-1"):
        reconstruction_scale(X, X, bin_width=-1)
    with pytest.raises(ValueError, match="bin_width='wide' must be a number"):
        prior.bits_per_dim(X, Nearest(), bin_width="wide")
    with pytest.raises(ValueError, match="scale='a' must be a number above 0"):
        prior.bits_per_dim(X, Nearest(), scale="a")
    two = make_pipeline(ResidualQuantizer(2, 3, n_init=1, random_state=0)).fit(X)
    with pytest.raises(ValueError, match="codes has 2 columns"):
        prior.bits_per_dim(X, two)
    with pytest.raises(NotFittedError):
        TokenPrior().bits_per_dim(X, two)
