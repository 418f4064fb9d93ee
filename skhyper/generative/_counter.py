"""A last token that tells apart rows with equal codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper.metrics._codes import check_codes


def add_counter(codes: ArrayLike) -> NDArray[np.int64]:
    """Return codes with a token more, such that no two rows are equal.

    It counts, for each row, the equal rows above it: 0, wherever a code is the only one
    of its kind. Models that write codes then write rows, and not codes that several
    rows have.

    Parameters
    ----------
    codes : array-like of int, shape (n_samples, n_levels)
        Codes of a whole catalogue. The counters depend on the order of its rows.

    Returns
    -------
    ndarray of shape (n_samples, n_levels + 1), int64
        All rows differ.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0.

    See Also
    --------
    skhyper.metrics.collision_rate : How many rows need it.

    References
    ----------
    S. Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023,
    Section 3.1. arXiv:2305.05065.

    Examples
    --------
    >>> from skhyper.generative import add_counter
    >>> add_counter([[3, 1], [0, 2], [3, 1]])
    array([[3, 1, 0],
           [0, 2, 0],
           [3, 1, 1]])
    """
    checked = check_codes(codes)
    _, group = np.unique(checked, axis=0, return_inverse=True)
    group = group.reshape(-1)
    # equal rows side by side, those above first; each block counts from its start
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], group[order])
    counter = np.empty(len(checked), dtype=np.int64)
    counter[order] = np.arange(len(checked)) - starts
    return np.column_stack([checked, counter])
