"""Rankings of recommendations, and whether one system's are better than another's."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap
from sklearn.utils import check_random_state

from skhyper.metrics._retrieval import _check_k, target_ranks

FloatArray = NDArray[np.float64]

# numbers that are drawn at a time
BATCH_SIZE = 2**22


@overload
def ndcg_at_k(
    y_true: ArrayLike,
    y_ranked: ArrayLike,
    k: int = ...,
    *,
    average: Literal[True] = ...,
) -> float: ...


@overload
def ndcg_at_k(
    y_true: ArrayLike, y_ranked: ArrayLike, k: int = ..., *, average: Literal[False]
) -> FloatArray: ...


def ndcg_at_k(
    y_true: ArrayLike, y_ranked: ArrayLike, k: int = 10, *, average: bool = True
) -> float | FloatArray:
    """Discounted gain of the target among the first k that were ranked.

    A row with its target at rank r, from 1 to k, has ``1 / log2(r + 1)``, and any other
    0. With one target a row the ideal gain is 1, so that this is the normalized
    discounted cumulative gain [1]_ with binary relevance.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_levels), int or str
        The target of each row: an id >= 0, or the tokens >= 0 of one. Ids may be
        strings.
    y_ranked : array-like of shape (n_samples, n_ranked) or \
(n_samples, n_ranked, n_levels), of the same type
        What was found for each row, the best first. An id of -1, or tokens that are
        all -1, are padding, and count for nothing.
    k : int, default=10
        How many of them count, at least 1. Repeats of an id count as one.
    average : bool, default=True
        Whether to return the mean over the rows. False returns the figure of each, such
        as `paired_bootstrap` takes.

    Returns
    -------
    float or ndarray of shape (n_samples,), float64
        From 0 to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, values are neither integers nor strings, a target is
        negative, or `k` is not an integer of at least 1.

    See Also
    --------
    recall_at_k : Whatever the rank.
    paired_bootstrap : Compares two systems.
    sklearn.metrics.ndcg_score : From the scores of all items.

    Notes
    -----
    A target counts as found if all its tokens are. Of several targets with the same
    tokens any one will do, so that codes that collide raise this number: rank ids of
    items, or give unique codes.

    References
    ----------
    .. [1] K. Jarvelin, J. Kekalainen, "Cumulated gain-based evaluation of IR
       techniques", ACM Transactions on Information Systems 20(4), 2002.

    Examples
    --------
    >>> from skhyper.metrics import ndcg_at_k
    >>> ndcg_at_k([3, 5, 7], [[3, 4], [4, 5], [9, -1]], k=2, average=False).round(3)
    array([1.   , 0.631, 0.   ])
    >>> round(ndcg_at_k([[0, 1]], [[[0, 0], [0, 0], [0, 1]]], k=2), 3)
    0.631
    """
    _check_k(k)
    rank = target_ranks(y_true, y_ranked)
    gain = np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0)
    return float(gain.mean()) if average else gain


class PairedBootstrap(NamedTuple):
    """What `paired_bootstrap` returns."""

    difference: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    n_resamples: int = 9999,
    confidence_level: float = 0.95,
    random_state: int | RandomState | None = None,
) -> PairedBootstrap:
    """Whether one system's figures are above another's, over the same users.

    The users are drawn anew with repetition, each with its figures in all runs of both
    systems.

    Parameters
    ----------
    a, b : array-like of shape (n_users,) or (n_runs, n_users)
        A figure of each user, or query, under one system and the other, in the same
        order. Several runs, such as those of several seeds, are averaged user by user;
        `a` and `b` may have different numbers of them.
    n_resamples : int, default=9999
        How often the users are drawn, at least 1.
    confidence_level : float, default=0.95
        Of the interval, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Draws the users. Pass an int for the same output at every call. See
        :term:`Glossary <random_state>`.

    Returns
    -------
    difference : float
        Mean of `a` less the mean of `b`.
    low, high : float
        Ends of its percentile interval.
    p_value : float
        Two-sided, of the hypothesis that there is no difference: twice the share of
        the draws in which the difference is on the other side of 0, or is 0, the data
        themselves counted as one draw; at most 1.

    Raises
    ------
    ValueError
        If `a` and `b` are not of the same two or more users, a value is not finite, or
        a parameter is out of range.

    See Also
    --------
    ndcg_at_k : The figure of each user with ``average=False``.
    scipy.stats.bootstrap : Intervals of other statistics.

    Notes
    -----
    It tells whether these runs would differ for other users, not whether other runs
    would: that of a seed is a source of chance of its own, which more runs average out.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", Chapman and
       Hall, 1993, Sections 13.3 and 15.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.metrics import paired_bootstrap
    >>> rng = np.random.default_rng(0)
    >>> b = rng.uniform(size=(3, 500))
    >>> a = b + rng.normal(0.1, 0.5, size=(3, 500))
    >>> test = paired_bootstrap(a, b, random_state=0)
    >>> test.low < test.difference < test.high
    True
    >>> test.p_value < 0.01
    True
    """
    if not isinstance(n_resamples, Integral) or n_resamples < 1:
        raise ValueError(
            f"n_resamples={n_resamples!r} must be an integer of at least 1."
        )
    check_confidence_level(confidence_level)
    one, other = _mean_of_runs(a, "a"), _mean_of_runs(b, "b")
    if one.shape != other.shape:
        raise ValueError(
            f"a has {len(one)} users, b has {len(other)}. Give figures of the same "
            "users in the same order."
        )
    if len(one) < 2:
        raise ValueError("a and b have 1 user; at least 2 are needed.")
    result = bootstrap(
        (one - other,),
        np.mean,
        n_resamples=int(n_resamples),
        batch=max(1, BATCH_SIZE // len(one)),
        confidence_level=float(confidence_level),
        method="percentile",
        random_state=check_random_state(random_state),
    )
    drawn = result.bootstrap_distribution
    beyond = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return PairedBootstrap(
        float((one - other).mean()),
        float(result.confidence_interval.low),
        float(result.confidence_interval.high),
        min(1.0, float(2 * (beyond + 1) / (len(drawn) + 1))),
    )


def check_confidence_level(level: Any) -> None:
    """Raise a ValueError unless `level` is between 0 and 1."""
    if not isinstance(level, Real) or not 0 < float(level) < 1:
        raise ValueError(
            f"confidence_level={level!r} must be a number between 0 and 1, such as "
            "0.95."
        )


def _mean_of_runs(figures: ArrayLike, name: str) -> FloatArray:
    """Return the mean of each user over the runs, checked."""
    array = np.asarray(figures)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name} must have shape (n_users,) or (n_runs, n_users), got "
            f"{array.shape}."
        )
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must hold finite numbers. Leave users without a figure out of "
            "both a and b."
        )
    runs = np.atleast_2d(array).astype(np.float64)
    return np.asarray(runs.mean(axis=0))
