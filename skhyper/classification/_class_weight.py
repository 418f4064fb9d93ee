"""Weights of classes, as every classifier here understands them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight


def class_weights(
    class_weight: dict[Any, float] | str | None,
    y: NDArray[Any],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weight that its class gives to each sample.

    Raises
    ------
    ValueError
        If a class would have no weight.
    """
    classes, labels = np.unique(y, return_inverse=True)
    factors = compute_class_weight(
        class_weight, classes=classes, y=y, sample_weight=weight
    )
    if not np.all(factors > 0):
        raise ValueError(
            f"class_weight={class_weight!r} must be above 0 for every class. "
            "To leave a class out, give its samples a sample_weight of 0."
        )
    return np.asarray(factors, dtype=np.float64)[labels]
