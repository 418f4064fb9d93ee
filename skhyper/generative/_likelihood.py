"""How likely data are around their reconstructions: the mass of a bin."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import erfcx, log_expit, log_ndtr
from sklearn.utils import check_array

FloatArray = NDArray[np.float64]

LIKELIHOODS = ("gaussian", "logistic")

# below this share of the scale a bin's mass is its width times the density
THIN_BIN = 1e-5

# the scale is looked for above these shares of the bin and of the largest error
LEAST_OF_BIN, LEAST_OF_ERROR = 1e-4, 1e-9


def reconstruction_scale(
    X: ArrayLike,
    X_hat: ArrayLike,
    *,
    bin_width: float = 1 / 255,
    likelihood: str = "gaussian",
) -> float:
    """Scale under which data are most likely around their reconstructions.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.
    X_hat : array-like of shape (n_samples, n_features)
        Their reconstructions, the centers of the distributions.
    bin_width : float, default=1/255
        Width of the bin around each value of `X` whose probability counts.
    likelihood : {"gaussian", "logistic"}, default="gaussian"
        The distribution.

    Returns
    -------
    scale : float
        One for all features: the standard deviation of the Gaussian, or the scale of
        the logistic distribution, whose standard deviation is pi / sqrt(3) times that.

    Raises
    ------
    ValueError
        If the shapes differ, or if a value is not finite or out of range.

    See Also
    --------
    skhyper.generative.TokenPrior.bits_per_dim : Takes it as its `scale`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.generative import reconstruction_scale
    >>> X_hat = np.zeros((1000, 4))
    >>> X = np.random.RandomState(0).normal(scale=0.3, size=X_hat.shape)
    >>> round(reconstruction_scale(X, X_hat), 1)
    0.3
    """
    check_bins(bin_width, likelihood)
    return best_scale(check_errors(X, X_hat), bin_width, likelihood)


def check_width(name: str, width: float) -> None:
    """Raise a ValueError unless a width is a number above 0."""
    if not isinstance(width, Real) or not 0 < width < np.inf:
        raise ValueError(f"{name}={width!r} must be a number above 0.")


def check_bins(bin_width: float, likelihood: str) -> None:
    """Raise a ValueError for a bin or a distribution that cannot be."""
    check_width("bin_width", bin_width)
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood={likelihood!r} must be 'gaussian' or 'logistic'.")


def check_errors(X: Any, X_hat: Any) -> FloatArray:
    """Return the distances of values from their reconstructions."""
    X, X_hat = (
        check_array(array, dtype=np.float64, allow_nd=True, input_name=name)
        for array, name in ((X, "X"), (X_hat, "X_hat"))
    )
    if X.shape != X_hat.shape:
        raise ValueError(
            f"X has shape {X.shape} and its reconstruction {X_hat.shape}; they must "
            "be the same."
        )
    return np.asarray(np.abs(X - X_hat))


def best_scale(errors: FloatArray, bin_width: float, likelihood: str) -> float:
    """Return the scale of the largest likelihood.

    Both densities are log-concave, so that the mass of a bin is so in 1 / scale, and
    a search of one variable finds the only maximum. It lies below the farthest edge of
    a bin. If all values lie well within their bins, any scale far below the bin's
    width is as good.
    """
    largest = float(errors.max())
    lowest = max(LEAST_OF_BIN * bin_width, LEAST_OF_ERROR * largest)

    def cost(log_scale: float) -> float:
        scale = float(np.exp(log_scale))
        return -float(np.mean(log_mass(errors, scale, bin_width, likelihood)))

    found = minimize_scalar(
        cost,
        bounds=np.log([lowest, largest + bin_width / 2]),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def log_mass(
    errors: FloatArray, scale: float, bin_width: float, likelihood: str
) -> FloatArray:
    """Return the log-probability of a bin that lies so far from the center."""
    width, middle = bin_width / scale, errors / scale
    near, far = middle - width / 2, middle + width / 2
    if likelihood == "logistic":
        # expit(b) - expit(a) = expit(b) expit(-a) (1 - exp(a - b))
        return np.asarray(log_expit(far) + log_expit(-near) + np.log(-np.expm1(-width)))
    with np.errstate(all="ignore"):
        # from the tail beyond the bin's near edge to that beyond its far edge; away
        # from the center their quotient, as their difference would cancel
        tail = log_ndtr(-near)
        mills = np.log(erfcx(near / np.sqrt(2)) / erfcx(far / np.sqrt(2)))
        fall = np.where(near > 0, middle * width + mills, tail - log_ndtr(-far))
        mass = tail + np.log(-np.expm1(-fall))
        density = -0.5 * middle * middle - 0.5 * np.log(2 * np.pi) + np.log(width)
    mass = np.where(width * np.maximum(1.0, middle) < THIN_BIN, density, mass)
    return np.where(np.isneginf(tail), -np.inf, mass)
