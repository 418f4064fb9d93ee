"""What a display accepts, and what it says of the rest."""

from __future__ import annotations

from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_matplotlib(caller: str) -> None:
    """Raise an ImportError that says what to install."""
    if find_spec("matplotlib") is None:
        raise ImportError(
            f"PoincareDiskDisplay.{caller} needs matplotlib: pip install matplotlib."
        )


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


def check_labels(y: ArrayLike, n_points: int) -> NDArray[Any]:
    """Return `y` as one finite label a point, or raise a ValueError."""
    labels = np.asarray(y)
    if labels.shape != (n_points,):
        raise ValueError(
            f"y must have shape ({n_points},), a label for each point, got "
            f"{labels.shape}. Of several columns give one, such as y[:, 0]."
        )
    if labels.dtype.kind == "f" and not np.all(np.isfinite(labels)):
        raise ValueError("y has nan or infinite values; give finite labels.")
    # objects, such as strings that pandas holds, are compared as strings
    return labels.astype(str) if labels.dtype == object else labels


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
