"""Pictures side by side in one picture, and traces side by side in one plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# from the start of a column of traces, which is 1 wide, to the start of the next
COLUMN = 1.05


def picture_gap(height: int, width: int) -> int:
    """Return the pixels between two pictures of a mosaic."""
    return max(1, round(min(height, width) / 14))


def join_pictures(pictures: FloatArray, gap: int) -> FloatArray:
    """Return rows and columns of pictures as one picture.

    Parameters
    ----------
    pictures : float64 array of shape (n_rows, n_columns, n_channels, height, width)
        The pictures.
    gap : int
        The pixels between two of them.

    Returns
    -------
    float64 array of shape (full_height, full_width, n_channels)
        Pixels between pictures are nan.
    """
    n_rows, n_columns, n_channels, height, width = pictures.shape
    margin = [(0, 0), (0, 0), (0, 0), (0, gap), (0, gap)]
    padded = np.pad(pictures, margin, constant_values=np.nan)
    joined = padded.transpose(0, 3, 1, 4, 2).reshape(
        n_rows * (height + gap), n_columns * (width + gap), n_channels
    )
    return joined[:-gap, :-gap]


def trace_step(values: FloatArray, share: float = 0.99) -> float:
    """Return the distance between traces that gives room to most of the values."""
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(high - low) if high > low else 1.0


def stack_traces(traces: FloatArray, step: float) -> FloatArray:
    """Return traces as lines in the plane, in columns from the top down.

    Parameters
    ----------
    traces : float64 array of shape (n_columns, n_traces, length)
        The values along each trace.
    step : float
        How much lower a trace is than the one before it.

    Returns
    -------
    float64 array of shape (n_columns * n_traces, length, 2)
        The lines, those of the first column first.
    """
    n_columns, n_traces, length = traces.shape
    along = np.linspace(0.0, 1.0, length)
    x = along + COLUMN * np.arange(n_columns)[:, None, None]
    y = traces - step * np.arange(n_traces)[:, None]
    return np.stack(np.broadcast_arrays(x, y), axis=-1).reshape(-1, length, 2)


def to_rgba(mosaic: FloatArray, low: float, high: float) -> FloatArray:
    """Return colours, `low` as 0 and `high` as 1, that are clear where there is nan."""
    span = high - low if high > low else 1.0
    alpha = np.isfinite(mosaic[..., :1]).astype(np.float64)
    return np.dstack([np.clip((np.nan_to_num(mosaic) - low) / span, 0.0, 1.0), alpha])
