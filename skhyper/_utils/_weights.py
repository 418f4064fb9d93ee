"""Sample weights as every estimator here understands them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight


def check_sample_weight(sample_weight: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of the rows of `X` divided by their mean, as float64.

    Raises
    ------
    ValueError
        If there is one weight too many or too few, one below 0, or none above it.
    """
    weight = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    # divide by the largest first: the mean of huge weights could overflow
    largest = float(weight.max())
    if largest == 0:
        raise ValueError(
            "sample_weight is 0 for every sample; at least one has to be positive."
        )
    weight = weight / largest
    return weight / weight.mean()
