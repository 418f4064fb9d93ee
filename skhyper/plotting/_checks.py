"""What a display accepts, and what it says of the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skhyper.base import BaseCoder, check_X


def check_matplotlib(caller: str) -> None:
    """Raise an ImportError that says what to install."""
    if find_spec("matplotlib") is None:
        raise ImportError(f"{caller} needs matplotlib: pip install matplotlib.")


def check_coder(
    estimator: Any, X: Any, otherwise: str
) -> tuple[BaseCoder, NDArray[Any]]:
    """Return a fitted coder, the last step of a Pipeline, and its rows, checked.

    Raises
    ------
    TypeError
        If there is none; `otherwise` says what to do then.
    """
    if isinstance(estimator, Pipeline):
        check_is_fitted(estimator)
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    if not isinstance(estimator, BaseCoder):
        raise TypeError(
            "estimator must be a residual quantizer or a tokenizer of skhyper, or "
            f"a Pipeline that ends in one, got {type(estimator).__name__}. {otherwise}"
        )
    check_is_fitted(estimator)
    return estimator, check_X(estimator, X, reset=False)


def check_scale(scale: float | str) -> None:
    """Raise a ValueError unless `scale` is "auto" or a factor."""
    if scale == "auto":
        return
    if not isinstance(scale, Real) or not 0 < float(scale) < np.inf:
        raise ValueError(
            f"scale={scale!r} must be 'auto' or a finite number above 0; 1.0 leaves "
            "distances from the centre as they are."
        )


def check_depth(depth: int | None, n_levels: int) -> int:
    """Return the number of levels to draw, or raise a ValueError."""
    if depth is None:
        return n_levels
    if not isinstance(depth, Integral) or not 1 <= depth <= n_levels:
        raise ValueError(
            f"depth={depth!r} must be None or an integer from 1 to the {n_levels} "
            "fitted levels."
        )
    return int(depth)


def check_n_samples(n_samples: int) -> None:
    """Raise a ValueError unless `n_samples` is a number of rows to show."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be an integer of at least 1.")


def check_depths(depths: Any, n_levels: int) -> list[int]:
    """Return `depths` as a list of numbers of levels, or raise a ValueError."""
    given = list(depths) if isinstance(depths, Iterable) else []
    fit = all(depth in range(1, n_levels + 1) for depth in given)
    if not given or not fit:
        raise ValueError(
            f"depths={depths!r} must be None or integers from 1 to the {n_levels} "
            f"fitted levels, such as {list(range(1, n_levels + 1))}."
        )
    return [int(depth) for depth in given]


def check_input_shape(input_shape: Any, n_features: int) -> tuple[int, ...] | None:
    """Return the shape of a row as a tuple, or raise a ValueError."""
    if input_shape is None:
        return None
    given = list(input_shape) if isinstance(input_shape, Iterable) else []
    whole = all(isinstance(side, Integral) and int(side) >= 1 for side in given)
    picture = len(given) == 3 and given[0] in (1, 3)
    if not whole or not (picture or len(given) == 2):
        raise ValueError(
            f"input_shape={input_shape!r} must be (channels, height, width) of "
            "pictures of 1 or 3 channels, (channels, length) of sounds, or None."
        )
    if math.prod(given) != n_features:
        raise ValueError(
            f"input_shape={input_shape!r} has {math.prod(given)} values, but X has "
            f"{n_features} features. Give the shape of a row of X."
        )
    return tuple(int(side) for side in given)


def check_labels(y: ArrayLike, n_rows: int, n_positions: int = 1) -> NDArray[Any]:
    """Return `y`, a finite label a row, for each position, or raise a ValueError."""
    labels = np.asarray(y)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"y must have shape ({n_rows},), a label for each row, got "
            f"{labels.shape}. Of several columns give one, such as y[:, 0]."
        )
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
        raise ValueError("y has nan or infinite values; give finite labels.")
    # objects, such as strings that pandas holds, are compared as strings
    if labels.dtype == object:
        labels = labels.astype(str)
    return np.repeat(labels, n_positions)


def check_edges(edges: ArrayLike, n_points: int) -> NDArray[np.int64]:
    """Return `edges` as pairs of rows, or raise a ValueError."""
    rows = np.asarray(edges)
    if rows.ndim != 2 or rows.shape[1] != 2 or rows.dtype.kind not in "iu":
        raise ValueError(
            "edges must be integers of shape (n_edges, 2), pairs of rows of points, "
            f"got shape {rows.shape} and dtype {rows.dtype}."
        )
    if rows.size and not (rows.min() >= 0 and rows.max() < n_points):
        raise ValueError(
            f"edges must hold rows from 0 to {n_points - 1}, got {rows.min()} to "
            f"{rows.max()}."
        )
    return rows.astype(np.int64, copy=False)
