"""Which codes a model takes: their columns, their levels and the tokens of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper._utils._codes import resolve_sizes
from skhyper.metrics._codes import check_codes

IntArray = NDArray[np.int64]


def level_sizes(codes: IntArray, n_levels: int | None, codebook_size: Any) -> IntArray:
    """Return the number of codes of each level, as parameters or the data say."""
    n_columns = codes.shape[1]
    n_levels = n_columns if n_levels is None else int(n_levels)
    if n_columns % n_levels:
        raise ValueError(
            f"n_levels={n_levels} must divide the number of columns of codes, "
            f"{n_columns}."
        )
    if codebook_size is None:
        by_level = codes.reshape(len(codes), n_levels, -1)
        return np.asarray(by_level.max(axis=(0, 2)) + 1)
    sizes = np.array(resolve_sizes(codebook_size, n_levels), dtype=np.int64)
    _check_tokens(codes, np.repeat(sizes, n_columns // n_levels))
    return sizes


def check_rows(codes: ArrayLike, sizes: IntArray) -> IntArray:
    """Return whole rows of codes, for the sizes of all columns."""
    rows = check_codes(codes)
    if rows.shape[1] != len(sizes):
        raise ValueError(
            f"codes has {rows.shape[1]} columns, but the model was fitted with "
            f"{len(sizes)}."
        )
    _check_tokens(rows, sizes)
    return rows


def check_named(codes: ArrayLike, name: str, sizes: IntArray | None = None) -> IntArray:
    """Return whole rows of codes of a method that takes several, for given sizes."""
    try:
        return check_codes(codes) if sizes is None else check_rows(codes, sizes)
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from error


def check_prefix(prefix: Any, sizes: IntArray, n_samples: int) -> IntArray:
    """Return the tokens that each sample begins with, for the sizes of all columns."""
    if prefix is None:
        return np.empty((n_samples, 0), dtype=np.int64)
    array = np.asarray(prefix)
    try:
        rows = check_codes(array[None] if array.ndim == 1 else array)
        if rows.shape[1] > len(sizes):
            raise ValueError(
                f"it has {rows.shape[1]} columns, and codes have {len(sizes)}."
            )
        _check_tokens(rows, sizes)
    except ValueError as error:
        raise ValueError(f"prefix cannot be used: {error}") from error
    if 1 not in (len(rows), n_samples) and len(rows) != n_samples:
        raise ValueError(
            f"prefix has {len(rows)} rows, one a sample, and n_samples={n_samples}; "
            f"set n_samples={len(rows)}, or give a single prefix."
        )
    return np.broadcast_to(rows, (max(len(rows), n_samples), rows.shape[1]))


def _check_tokens(codes: IntArray, sizes: IntArray) -> None:
    """Raise a ValueError for tokens that the codebooks of the columns do not have."""
    bad = np.argwhere(codes >= sizes[: codes.shape[1]])
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"codes has the token {codes[row, column]} in row {row}, column {column}; "
            f"the codebook of that column has {sizes[column]} codes, so tokens run "
            f"from 0 to {sizes[column] - 1}."
        )
