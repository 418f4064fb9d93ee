"""Whether codes that share a prefix share a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
)

from skhyper.metrics._codes import check_codes, prefix_ids

SCORES: dict[str, Callable[..., float]] = {
    "nmi": normalized_mutual_info_score,
    "ami": adjusted_mutual_info_score,
    "ari": adjusted_rand_score,
}


def prefix_agreement(
    codes: ArrayLike, labels: ArrayLike, score: str = "nmi"
) -> NDArray[np.float64]:
    """Agreement of the codes' prefixes with known classes, at every depth.

    The rows that share their first m + 1 tokens are one cluster; a clustering score
    compares these clusters with the classes.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens >= 0, column 0 the coarsest.
    labels : array-like of shape (n_samples,) or (n_samples, n_label_levels)
        Classes as integers, strings or booleans. Several columns are several label
        sets, such as the levels of a taxonomy from coarse to fine.
    score : {"nmi", "ami", "ari"}, default="nmi"
        Normalized mutual information (over the arithmetic mean of the entropies, from
        0 to 1), the same corrected for chance, which brings random codes to 0, or the
        adjusted Rand index (corrected for chance too, from -0.5 to 1).

    Returns
    -------
    ndarray of shape (n_levels,) or (n_levels, n_label_levels), float64
        Entry m, or row m, is the score of the first m + 1 tokens. It has as many
        axes as `labels`.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0, the rows of `labels` are not as
        many, a label is missing or not discrete, or `score` is unknown.

    See Also
    --------
    make_prefix_agreement_scorer : For the search of parameters.
    sklearn.metrics.normalized_mutual_info_score : The score "nmi".
    sklearn.metrics.adjusted_mutual_info_score : The score "ami".
    sklearn.metrics.adjusted_rand_score : The score "ari".

    Notes
    -----
    "nmi" is not corrected for chance: many small clusters score high against any
    labels. Compare by it codes with equally many prefixes; else use "ami" or "ari",
    which are highest where the prefixes are about as fine as the classes. "ami" takes
    longest, seconds for a hundred thousand rows.

    Examples
    --------
    >>> from skhyper.metrics import prefix_agreement
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> labels = [["bird", "owl"], ["bird", "auk"], ["fish", "eel"], ["fish", "cod"]]
    >>> prefix_agreement(codes, labels).round(3)
    array([[1.   , 0.667],
           [0.667, 1.   ]])
    """
    check_score(score)
    prefixes = prefix_ids(check_codes(codes))
    classes = _check_labels(labels, len(prefixes))
    columns = classes.reshape(len(classes), -1)
    table = [[SCORES[score](y, ids) for y in columns.T] for ids in prefixes.T]
    return np.array(table, dtype=np.float64).reshape(-1, *classes.shape[1:])


def check_score(score: str) -> None:
    """Raise a ValueError unless `score` is known."""
    if score not in SCORES:
        raise ValueError(f"score must be one of {sorted(SCORES)}, got {score!r}.")


def _check_labels(labels: ArrayLike, n_samples: int) -> NDArray[np.int64]:
    """Return `labels` with its classes numbered, in the shape that it came in."""
    array = np.asarray(labels)
    if array.ndim not in (1, 2) or array.size == 0 or len(array) != n_samples:
        raise ValueError(
            f"labels must have shape ({n_samples},) or ({n_samples}, n_label_levels), "
            f"a row for each row of codes, got {array.shape}."
        )
    if array.dtype.kind not in "iubUSTO":
        raise ValueError(
            f"labels must be discrete, got dtype {array.dtype}. Give classes as "
            "integers or strings."
        )
    if array.dtype == object and any(_is_missing(label) for label in array.flat):
        raise ValueError(
            "labels has missing values. Leave those rows out of labels and codes, or "
            "give them a class of their own."
        )
    columns = array.reshape(len(array), -1).T
    numbered = [np.unique(column, return_inverse=True)[1] for column in columns]
    return np.column_stack(numbered).reshape(array.shape)


def _is_missing(label: Any) -> bool:
    """Tell None, NaN, and pandas' NA, whose comparisons are no booleans."""
    equal = label == label
    return label is None or not isinstance(equal, bool | np.bool_) or not equal
