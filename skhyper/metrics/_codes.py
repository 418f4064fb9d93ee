"""How much of its codebooks a set of codes uses, and how well it tells rows apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from skhyper._utils._codes import resolve_sizes
from skhyper._utils._weights import check_sample_weight


def check_codes(codes: ArrayLike) -> NDArray[np.int64]:
    """Return `codes` as an int64 matrix of tokens >= 0, or raise a ValueError."""
    array = np.asarray(codes)
    if array.ndim != 2:
        raise ValueError(
            f"codes must have shape (n_samples, n_levels), got {array.shape}. Give a "
            "single level as codes.reshape(-1, 1)."
        )
    if array.size == 0:
        raise ValueError(
            f"codes must have at least one sample and one level, got {array.shape}."
        )
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"codes must be integers, got dtype {array.dtype}. If the values are whole "
            "numbers, give codes.astype(int)."
        )
    if array.min() < 0 or array.max() > np.iinfo(np.int64).max:
        raise ValueError(
            f"codes must lie between 0 and 2**63 - 1, got {array.min()} to "
            f"{array.max()}. Leave out rows that are padding."
        )
    return array.astype(np.int64, copy=False)


def check_sizes(
    codes: NDArray[np.int64], codebook_size: int | Sequence[int]
) -> list[int]:
    """Return one size a level, or raise a ValueError if `codes` do not fit them."""
    sizes = resolve_sizes(codebook_size, codes.shape[1])
    for level, (size, top) in enumerate(zip(sizes, codes.max(axis=0), strict=True)):
        if top >= size:
            raise ValueError(
                f"codebook_size is {size} at level {level}, but codes has the token "
                f"{top} there. Tokens run from 0 to codebook_size - 1."
            )
    return sizes


def prefix_ids(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return dense cluster ids of the prefixes of every length.

    Column m holds, for each row, the rank of its first m + 1 tokens in the
    lexicographic order of the distinct prefixes of that length.
    """
    ids = np.empty_like(codes)
    parent: NDArray[np.int64] = np.zeros(len(codes), dtype=np.int64)
    for level, column in enumerate(codes.T):
        # Ranks stand in for tokens, so that the keys stay below n_samples ** 2.
        tokens, rank = np.unique(column, return_inverse=True)
        parent = np.unique(parent * len(tokens) + rank, return_inverse=True)[1]
        ids[:, level] = parent
    return ids


def codebook_usage(
    codes: ArrayLike, codebook_size: int | Sequence[int]
) -> NDArray[np.float64]:
    """Fraction of every codebook that occurs in the codes.

    The levels are counted each by itself, whatever the coarser tokens are.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens, each from 0 to the size of its level's codebook less 1.
    codebook_size : int or sequence of n_levels ints
        Number of codes at each level; an int holds for all levels.

    Returns
    -------
    ndarray of shape (n_levels,), float64
        Number of distinct tokens in each column over its codebook's size, in (0, 1].

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0, or does not fit `codebook_size`.

    See Also
    --------
    dead_codes : The tokens that do not occur.
    perplexity : Counts rare tokens for less.

    Examples
    --------
    >>> from skhyper.metrics import codebook_usage
    >>> codebook_usage([[0, 3], [0, 1], [1, 1]], codebook_size=4)
    array([0.5, 0.5])
    """
    checked = check_codes(codes)
    sizes = check_sizes(checked, codebook_size)
    return np.array(
        [
            len(np.unique(column)) / size
            for column, size in zip(checked.T, sizes, strict=True)
        ]
    )


def dead_codes(
    codes: ArrayLike, codebook_size: int | Sequence[int]
) -> list[NDArray[np.int64]]:
    """Unused tokens of every codebook.

    The levels are looked at each by itself, whatever the coarser tokens are.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens, each from 0 to the size of its level's codebook less 1.
    codebook_size : int or sequence of n_levels ints
        Number of codes at each level; an int holds for all levels.

    Returns
    -------
    list of n_levels ndarrays, int64
        The unused tokens of each level in rising order, empty where all are used.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0, or does not fit `codebook_size`.

    See Also
    --------
    codebook_usage : The fraction that does occur.

    Examples
    --------
    >>> from skhyper.metrics import dead_codes
    >>> dead_codes([[0, 3], [0, 1], [1, 1]], codebook_size=[2, 4])
    [array([], dtype=int64), array([0, 2])]
    """
    checked = check_codes(codes)
    sizes = check_sizes(checked, codebook_size)
    return [
        np.setdiff1d(np.arange(size, dtype=np.int64), column)
        for size, column in zip(sizes, checked.T, strict=True)
    ]


def perplexity(
    codes: ArrayLike, sample_weight: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Effective number of codes in use at every level.

    The exponential of the entropy, in nats, of each column's tokens taken by
    itself: 1 if a level always gives the same token, and the codebook's size if it
    gives all of them equally often.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens >= 0.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, >= 0; only the ratios count. None weighs all alike.

    Returns
    -------
    ndarray of shape (n_levels,), float64
        Between 1 and the number of distinct tokens in the column.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0, or a weight is negative or not
        finite, or all are 0.

    See Also
    --------
    codebook_usage : Counts every token that occurs as one.

    Examples
    --------
    >>> from skhyper.metrics import perplexity
    >>> perplexity([[0, 3], [0, 1], [1, 1], [1, 1]]).round(3)
    array([2.   , 1.755])
    """
    checked = check_codes(codes)
    weights = check_sample_weight(sample_weight, checked)
    weights = weights / weights.sum()
    return np.array([_effective_number(column, weights) for column in checked.T])


def _effective_number(column: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """Exponential of the entropy of one column's weighted tokens."""
    rank = np.unique(column, return_inverse=True)[1]
    return float(np.exp(entr(np.bincount(rank, weights)).sum()))


def collision_rate(codes: ArrayLike) -> NDArray[np.float64]:
    """Share of rows that a prefix of the codes fails to tell apart, at every depth.

    One less the number of distinct prefixes over the number of rows. The last entry
    is the rate of the full codes; one less it is their uniqueness.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens >= 0.

    Returns
    -------
    ndarray of shape (n_levels,), float64
        Entry m is ``1 - n_unique / n_samples`` for the first m + 1 tokens: 0 when no
        two rows share them, and never rising with the depth.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0.

    See Also
    --------
    make_collision_scorer : For the search of parameters.
    perplexity : Evenness of each level by itself.

    Notes
    -----
    Of k rows with equal codes, k - 1 count as collisions: these are the rows for
    which a unique id needs another token. Rows of the data that are equal collide
    under any code.

    Examples
    --------
    >>> from skhyper.metrics import collision_rate
    >>> collision_rate([[0, 3], [0, 1], [1, 1], [1, 1]])
    array([0.5 , 0.25])
    """
    ids = prefix_ids(check_codes(codes))
    # Exactly 0 when all differ: counted, not subtracted from 1.
    repeats = len(ids) - 1 - ids.max(axis=0)
    return np.asarray(repeats / len(ids), dtype=np.float64)
