"""Sample weights as every estimator here understands them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight


def check_sample_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of the rows of `X`, float64, with mean 1 where positive.

    Raises
    ------
    ValueError
        If there is one weight too many or too few, one below 0, or none above it.
    """
    # scikit-learn's check refuses weights that are all 0, too
    weight = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    # divide by the largest first: the mean of huge weights could overflow
    weight = weight / weight.max()
    return weight / weight[weight > 0].mean()


def weight_unit(sample_weight: Any, weight: NDArray[np.float64]) -> float:
    """Return what `check_sample_weight` has divided the user's weights by."""
    given = 1.0 if sample_weight is None else float(np.asarray(sample_weight).max())
    return given / float(weight.max())


def distinct_rows(
    X: NDArray[Any], weight: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where the distinct rows of positive weight are, and their total weights.

    Their order depends on nothing but the rows. So what is fitted to them is the same
    for every order of the data, and a weight of k is the same as k repeats, random
    draws included.
    """
    rows = np.flatnonzero(weight > 0)
    X = X[rows].astype(np.float64, copy=False) + 0.0  # makes -0.0 a 0.0
    # sort by an exact hash of the bits, which is faster than by the rows themselves
    bits = X.view(np.uint64)
    factors = np.random.RandomState(0).randint(2**63, size=X.shape[1], dtype=np.uint64)
    order = np.argsort((bits ^ (bits >> 32)) @ (2 * factors + 1), kind="stable")
    rows, X = rows[order], X[order]
    first = np.flatnonzero(np.r_[True, np.any(X[1:] != X[:-1], axis=1)])
    return rows[first], np.add.reduceat(weight[rows], first)
