"""Checks and arithmetic on arrays of codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from skhyper._utils._warn import warn_user

# a level that uses a smaller share of its codes has collapsed
COLLAPSED = 0.5


def resolve_sizes(codebook_size: Any, n_levels: int) -> list[int]:
    """Return the number of codes of each level, as `codebook_size` asks for."""
    if isinstance(codebook_size, Integral):
        return [int(codebook_size)] * n_levels
    if not isinstance(codebook_size, Iterable):
        raise ValueError(
            f"codebook_size={codebook_size!r} must be an integer, or one integer for "
            f"each of the {n_levels} levels."
        )
    sizes: list[Any] = list(codebook_size)
    if len(sizes) != n_levels:
        raise ValueError(
            f"codebook_size={codebook_size!r} has {len(sizes)} entries for "
            f"n_levels={n_levels}; give one size per level, or a single integer."
        )
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(
            f"codebook_size={codebook_size!r} must hold integers of at least 1."
        )
    return [int(size) for size in sizes]


def check_beam_size(beam_size: int, sizes: Sequence[int]) -> None:
    """Raise a ValueError if a beam is wider than every codebook."""
    if beam_size > max(sizes):
        raise ValueError(
            f"beam_size={beam_size} is more than the largest codebook, {max(sizes)} "
            "codes, has to offer; lower beam_size or raise codebook_size."
        )


def warn_if_collapsed(
    usage: NDArray[np.float64], sizes: Sequence[int], remedy: str
) -> None:
    """Warn of levels that use less than half of their codes."""
    for level, (share, size) in enumerate(zip(usage, sizes, strict=True)):
        if share < COLLAPSED:
            warn_user(
                f"Level {level} uses {round(share * size)} of its {size} codes. "
                f"{remedy}.",
                ConvergenceWarning,
            )


def check_codes(
    codes: ArrayLike, sizes: Sequence[int], n_positions: int = 1
) -> NDArray[np.int64]:
    """Return `codes` as int64, a column for each position of the first levels.

    Raises
    ------
    ValueError
        If the codes are not integers, not 2-D, empty, no whole number of levels wide,
        too wide, or out of range.
    """
    array = np.asarray(codes)
    if array.ndim != 2:
        raise ValueError(
            f"codes must be 2-D, (n_samples, n_levels), got shape {array.shape}. "
            "Reshape a single row with codes.reshape(1, -1)."
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"codes must be integers, got dtype {array.dtype}. If they hold whole "
            "numbers, cast them with codes.astype(np.int64)."
        )
    if array.shape[0] == 0:
        raise ValueError("codes has 0 samples; at least 1 is needed.")
    _check_width(array.shape[1], len(sizes), n_positions)
    for at, column in enumerate(array.T):
        level = at // n_positions
        bad = np.flatnonzero((column < 0) | (column >= sizes[level]))
        if bad.size:
            raise ValueError(
                f"codes has the token {column[bad[0]]} in row {bad[0]}, level "
                f"{level}; the fitted codebook of that level has {sizes[level]} codes, "
                f"so tokens run from 0 to {sizes[level] - 1}."
            )
    return array.astype(np.int64, copy=False)


def _check_width(width: int, n_levels: int, n_positions: int) -> None:
    if width % n_positions == 0 and 1 <= width // n_positions <= n_levels:
        return
    each = "" if n_positions == 1 else f", in columns of {n_positions} positions each"
    raise ValueError(
        f"codes has {width} columns, expected 1 to {n_levels}: the fitted levels, or "
        f"the first of them for a coarser reconstruction{each}."
    )


def fold_codes(codes: NDArray[np.int64], n_positions: int) -> NDArray[np.int64]:
    """Return a row a sample, level-major, from a row a position of each sample."""
    if n_positions == 1:
        return codes
    split = codes.reshape(-1, n_positions, codes.shape[1])
    return split.transpose(0, 2, 1).reshape(len(split), -1)


def unfold_codes(codes: NDArray[np.int64], n_positions: int) -> NDArray[np.int64]:
    """Return a row a position of each sample: what `fold_codes` has folded."""
    if n_positions == 1:
        return codes
    split = codes.reshape(len(codes), -1, n_positions)
    return split.transpose(0, 2, 1).reshape(-1, split.shape[1])


def mixed_radix(codes: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return each row as one integer, the first column the most significant.

    Raises
    ------
    ValueError
        If the largest such integer does not fit int64.
    """
    depth = codes.shape[1]
    if int(np.prod([int(size) for size in sizes[:depth]], dtype=object)) > 2**63:
        raise ValueError(
            f"depth={depth} gives more than 2**63 possible labels for codebooks of "
            f"sizes {list(sizes[:depth])}; use a smaller depth."
        )
    label = np.zeros(len(codes), dtype=np.int64)
    for level, size in enumerate(sizes[:depth]):
        label = label * size + codes[:, level]
    return label
