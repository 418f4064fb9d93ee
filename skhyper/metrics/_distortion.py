"""How far reconstructions lie from the points they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skhyper._utils._weights import check_sample_weight
from skhyper.manifolds import Euclidean, PoincareBall


def distortion(
    X: ArrayLike,
    X_hat: ArrayLike,
    manifold: Euclidean | PoincareBall | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean squared error of a reconstruction, flat or along geodesics.

    The mean is over samples and features, so that widths can be compared.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The points.
    X_hat : array-like of shape (n_samples, n_features)
        What stands for them, row by row.
    manifold : Euclidean, PoincareBall or None, default=None
        The space of the points; on the ball both are in ball coordinates. None is
        flat space.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, >= 0; only the ratios count. None weighs all alike.

    Returns
    -------
    float
        Weighted mean over the rows of ``|x - x_hat|^2 / n_features``, in flat space
        `sklearn.metrics.mean_squared_error`. On the ball the squared *half* distance
        ``(d / 2)^2`` takes the place of ``|x - x_hat|^2``, because ``d`` tends to
        ``2 |x - x_hat|`` as the curvature falls to 0: so a small curvature gives the
        flat number.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, a point is outside the ball, or a
        weight is negative or not finite, or all are 0.

    See Also
    --------
    relative_distortion : Free of the scale of `X`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.manifolds import PoincareBall
    >>> from skhyper.metrics import distortion
    >>> X, X_hat = np.array([[0.5, 0.0]]), np.array([[0.0, 0.0]])
    >>> distortion(X, X_hat)
    0.125
    >>> round(distortion(X, X_hat, manifold=PoincareBall(c=1.0)), 3)
    0.151
    """
    x, x_hat, weights = _check_pair(X, X_hat, sample_weight)
    if manifold is None:
        manifold = Euclidean()
    elif isinstance(manifold, PoincareBall):
        manifold.check_points(x, "X")
        manifold.check_points(x_hat, "X_hat")
    return float(weights @ manifold.sq_half_dist(x, x_hat) / x.shape[1])


def relative_distortion(
    X: ArrayLike, X_hat: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Squared error of a reconstruction over the total variance of the points.

    The share of the variance that the codes lose, whatever the scale of the points.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The points.
    X_hat : array-like of shape (n_samples, n_features)
        What stands for them, row by row.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, >= 0; only the ratios count. None weighs all alike.

    Returns
    -------
    float
        Summed squared error over the summed squared distance to the (weighted) mean:
        0 for a perfect reconstruction, 1 for the mean in place of every row. It is
        ``1 - R^2``, with R^2 as `sklearn.metrics.r2_score` gives it for
        ``multioutput="variance_weighted"``.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, all rows of `X` that have weight
        are equal, or a weight is negative or not finite, or all are 0.

    See Also
    --------
    distortion : In the units of `X`, squared.
    make_bit_budget_scorer : For the search of parameters.

    Examples
    --------
    >>> from skhyper.metrics import relative_distortion
    >>> relative_distortion([[0.0], [2.0], [4.0]], [[1.0], [2.0], [3.0]])
    0.25
    """
    x, x_hat, weights = _check_pair(X, X_hat, sample_weight)
    counted = x[weights > 0]
    if (counted == counted[0]).all():
        raise ValueError(
            "X has no variance: all its rows are equal. Use distortion, which does not "
            "divide by the variance."
        )
    error = weights @ ((x - x_hat) ** 2).sum(axis=1)
    return float(error / (weights @ ((x - weights @ x) ** 2).sum(axis=1)))


def _check_pair(
    X: ArrayLike, X_hat: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[NDArray[np.float64], ...]:
    """Return both matrices in float64 and weights that sum to 1."""
    x = check_array(X, dtype=np.float64, input_name="X")
    x_hat = check_array(X_hat, dtype=np.float64, input_name="X_hat")
    if x.shape != x_hat.shape:
        raise ValueError(
            f"X_hat must have the shape of X, {x.shape}, got {x_hat.shape}."
        )
    weights = check_sample_weight(sample_weight, x)
    return x, x_hat, weights / weights.sum()
