"""Codes as faiss packs them: level after level, without a gap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper._utils._codes import resolve_sizes
from skhyper.metrics._codes import check_codes, check_sizes

IntArray = NDArray[np.int64]


def pack_codes(
    codes: ArrayLike, codebook_size: int | Sequence[int] = 256
) -> NDArray[np.uint8]:
    """Pack codes into bytes as faiss does.

    Tokens follow each other without a gap, in as many bits as their level needs, the
    lowest bit first.

    Parameters
    ----------
    codes : array-like of int, shape (n_samples, n_levels)
        The codes.
    codebook_size : int or sequence of n_levels ints, default=256
        Number of codes of each level. In faiss these are powers of two.

    Returns
    -------
    uint8 array of shape (n_samples, n_bytes)
        For ``faiss.ResidualQuantizer.decode`` and its like.

    Raises
    ------
    ValueError
        If `codes` is no matrix of integers >= 0, or does not fit `codebook_size`.

    See Also
    --------
    unpack_codes : The way back.

    Examples
    --------
    Two levels of 6 bits take 12 bits, and so two bytes:

    >>> from skhyper.generative import pack_codes
    >>> pack_codes([[1, 2]], codebook_size=64)
    array([[129,   0]], dtype=uint8)
    """
    codes = check_codes(codes)
    widths = _bits(check_sizes(codes, codebook_size))
    columns = [
        column[:, None] >> np.arange(width) & 1
        for column, width in zip(codes.T, widths, strict=True)
    ]
    bits = np.concatenate(columns, axis=1).astype(np.uint8)
    return np.packbits(bits, axis=1, bitorder="little")


def unpack_codes(packed: ArrayLike, codebook_size: Sequence[int]) -> IntArray:
    """Unpack the codes that faiss has packed into bytes.

    Parameters
    ----------
    packed : array-like of uint8, shape (n_samples, n_bytes)
        What ``compute_codes`` gives, whose columns are no levels unless each of them
        has 256 codes.
    codebook_size : sequence of int
        Number of codes of each level: ``2 ** nbits``.

    Returns
    -------
    int64 array of shape (n_samples, n_levels)
        The codes.

    Raises
    ------
    ValueError
        If `packed` has another dtype or width than such codes, or holds tokens out of
        range.

    See Also
    --------
    pack_codes : The way here.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.generative import unpack_codes
    >>> unpack_codes(np.array([[129, 0]], dtype=np.uint8), [64, 64])
    array([[1, 2]])
    """
    sizes = level_sizes(codebook_size)
    widths, array = _bits(sizes), np.asarray(packed)
    if array.dtype != np.uint8 or array.ndim != 2:
        raise ValueError(
            f"packed must be a matrix of uint8, got shape {array.shape} of "
            f"{array.dtype}. Give the codes as faiss returned them."
        )
    n_bytes = -(-sum(widths) // 8)
    if array.shape[1] != n_bytes:
        raise ValueError(
            f"packed has {array.shape[1]} bytes a row, and codes of codebook_size="
            f"{sizes} have {n_bytes} ({sum(widths)} bits). Give one size a level."
        )
    bits = np.unpackbits(array, axis=1, bitorder="little").astype(np.int64)
    ends = np.cumsum(widths)
    codes = np.stack(
        [
            bits[:, end - width : end] @ (1 << np.arange(width, dtype=np.int64))
            for end, width in zip(ends, widths, strict=True)
        ],
        axis=1,
    )
    check_sizes(check_codes(codes), sizes)
    return codes


def level_sizes(codebook_size: Sequence[int]) -> list[int]:
    """Return `codebook_size`, one size a level, checked."""
    if np.ndim(codebook_size) != 1 or len(codebook_size) == 0:
        raise ValueError(
            f"codebook_size={codebook_size!r} must have one size for each level, such "
            "as [256, 256, 256]."
        )
    return resolve_sizes(codebook_size, len(codebook_size))


def _bits(sizes: Sequence[int]) -> list[int]:
    return [(size - 1).bit_length() for size in sizes]
