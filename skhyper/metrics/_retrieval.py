"""Whether held-out pairs of a hierarchy are found: by a model, and without one."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper._utils._edges import IntArray, check_edges, closure

PADDING = -1


@overload
def recall_at_k(
    y_true: ArrayLike,
    y_ranked: ArrayLike,
    k: int = ...,
    *,
    average: Literal[True] = ...,
) -> float: ...


@overload
def recall_at_k(
    y_true: ArrayLike, y_ranked: ArrayLike, k: int = ..., *, average: Literal[False]
) -> NDArray[np.float64]: ...


def recall_at_k(
    y_true: ArrayLike, y_ranked: ArrayLike, k: int = 10, *, average: bool = True
) -> float | NDArray[np.float64]:
    """Share of rows whose target is among the first k that were ranked.

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
        Whether to return the mean over the rows. False returns 1 or 0 for each, such
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
    ndcg_at_k : Where the rank counts.
    paired_bootstrap : Compares two systems.
    popularity_recall : What is found without a model.
    composition_recall : What follows without a model.

    Notes
    -----
    A target counts as found if all its tokens are. Of several targets with the same
    tokens any one will do, so that codes that collide raise this number: see
    `collision_rate`, and give unique codes.

    Examples
    --------
    >>> from skhyper.metrics import recall_at_k
    >>> recall_at_k([3, 5, 7], [[3, 4], [4, 5], [9, -1]], k=2)
    0.6666666666666666
    >>> recall_at_k(["cup", "pen"], [["pen", "cup"], ["ink", "bag"]], k=2)
    0.5
    >>> recall_at_k([[0, 1]], [[[0, 0], [0, 0], [0, 1]]], k=2)
    1.0
    """
    _check_k(k)
    found = (target_ranks(y_true, y_ranked) <= k).astype(np.float64)
    return float(found.mean()) if average else found


def target_ranks(y_true: ArrayLike, y_ranked: ArrayLike) -> NDArray[np.float64]:
    """Return the rank of each target from 1 on, infinite where it was not found."""
    target, ranked = _numbered(np.asarray(y_true), np.asarray(y_ranked))
    _check_ranked(target, ranked)
    if target.ndim == 1:
        target, ranked = target[:, None], ranked[..., None]
    found = (ranked == target[:, None]).all(axis=2)
    position = np.cumsum(_first_seen(ranked), axis=1)
    return np.where(found, position, np.inf).min(axis=1)


def _numbered(
    target: NDArray[Any], ranked: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return numbers where both hold names, and else what was given."""
    parts = [target.ravel(), ranked.ravel()]
    named = all(
        part.dtype.kind == "U"
        or (part.dtype.kind == "O" and all(isinstance(name, str) for name in part))
        for part in parts
    )
    if not named or not target.size:
        return target, ranked
    both = np.concatenate([part.astype(str) for part in parts])
    numbers = np.unique(both, return_inverse=True)[1]
    first, second = np.split(numbers, [target.size])
    return first.reshape(target.shape), second.reshape(ranked.shape)


def _check_ranked(target: NDArray[Any], ranked: NDArray[Any]) -> None:
    for name, array in (("y_true", target), ("y_ranked", ranked)):
        if array.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be integers, got dtype {array.dtype}. Number labels with "
                "numpy.unique(labels, return_inverse=True)."
            )
    fits = ranked.ndim == target.ndim + 1 and len(ranked) == len(target)
    if target.ndim not in (1, 2) or not fits or target.shape[1:] != ranked.shape[2:]:
        raise ValueError(
            "y_true must have shape (n_samples,) and y_ranked (n_samples, n_ranked), "
            "or both one axis more of n_levels tokens, got "
            f"{target.shape} and {ranked.shape}."
        )
    if ranked.size == 0:
        raise ValueError(f"y_ranked is empty: its shape is {ranked.shape}.")
    if target.min() < 0:
        raise ValueError(
            f"y_true has the value {target.min()}; {PADDING} is padding, and targets "
            "are at least 0."
        )


def _first_seen(ranked: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each entry whether it is no padding and no repeat in its row."""
    n_samples, n_ranked, n_levels = ranked.shape
    _, ids = np.unique(ranked.reshape(-1, n_levels), axis=0, return_inverse=True)
    ids = ids.reshape(n_samples, n_ranked)
    order = np.argsort(ids, axis=1, kind="stable")
    in_order = np.take_along_axis(ids, order, axis=1)
    fresh = np.ones_like(ids, dtype=bool)
    first = np.diff(in_order, axis=1) != 0
    np.put_along_axis(fresh, order[:, 1:], first, axis=1)
    return fresh & (ranked != PADDING).any(axis=2)


def popularity_recall(train: Any, test: Any, k: int = 10) -> float:
    """Recall of the k ancestors that are most frequent in train, for every node.

    A floor: what is found without looking at the node.

    Parameters
    ----------
    train, test : array-like of shape (n_pairs, 2), DataFrame or networkx.DiGraph
        Labels (node, ancestor), all strings or all integers. Repeats count once.
    k : int, default=10
        How many ancestors are named, at least 1.

    Returns
    -------
    float
        Share of the test pairs whose ancestor is among the k most frequent of train.
        Of two that are equally frequent the smaller label comes first.

    Raises
    ------
    ValueError
        If `train` or `test` are no pairs of labels, or of different kinds, or `k` is
        not an integer of at least 1.

    See Also
    --------
    composition_recall : What follows from train.
    skhyper.datasets.hypernymy_split : Makes train and test.

    Notes
    -----
    The same k ancestors are named for all nodes: also for those that have them in
    train already, as the list of a model has that was not told to leave them out. On
    the nouns of WordNet with ``random_state=0`` it finds 42 % in this way, and would
    find 45 % without the known ones (mammals: 61 % and 67 %).

    Examples
    --------
    >>> from skhyper.datasets import hypernymy_split, load_wordnet_mammals
    >>> from skhyper.metrics import popularity_recall
    >>> split = hypernymy_split(load_wordnet_mammals().edges, random_state=0)
    >>> round(popularity_recall(split.train, split.test), 2)
    0.61
    """
    _check_k(k)
    _, asked, _ = _by_popularity(train, test)
    return float((asked[:, 1] < k).mean())


def composition_recall(train: Any, test: Any, k: int = 10) -> float:
    """Recall of the ancestors that follow from train, the k most frequent of them.

    A floor: what is found by composing pairs. Of (dog, canine) and (canine, mammal)
    follows (dog, mammal). It tells how much of a test on held-out pairs needs no
    model, and is 0 where no test pair follows.

    Parameters
    ----------
    train, test : array-like of shape (n_pairs, 2), DataFrame or networkx.DiGraph
        Labels (node, ancestor), all strings or all integers. Repeats count once.
    k : int, default=10
        How many ancestors are named, at least 1.

    Returns
    -------
    float
        Share of the test pairs whose ancestor is among the k that are named for the
        node: of those that one or more pairs of train lead up to, the most frequent
        ancestors in train. Of two that are equally frequent the smaller label comes
        first.

    Raises
    ------
    ValueError
        If `train` or `test` are no pairs of labels, or of different kinds, or `k` is
        not an integer of at least 1.

    See Also
    --------
    popularity_recall : What is found without looking at the node.
    skhyper.datasets.hypernymy_split : Makes train and test.

    Notes
    -----
    The ancestors that a node has in train take up places in its list, as in that of a
    model that was not told to leave them out. On the nouns of WordNet, split at random
    with ``random_state=0``, it finds 80 % in this way, and would find 85 % without the
    known ones; on the mammals, which have 9 ancestors at most, 76 % either way.

    Examples
    --------
    >>> from skhyper.datasets import hypernymy_split, load_wordnet_mammals
    >>> from skhyper.metrics import composition_recall
    >>> edges = load_wordnet_mammals().edges
    >>> split = hypernymy_split(edges, random_state=0)
    >>> round(composition_recall(split.train, split.test), 2)
    0.76
    >>> split = hypernymy_split(edges, kind="direct", random_state=0)
    >>> composition_recall(split.train, split.test)
    0.0
    """
    _check_k(k)
    known, asked, n_nodes = _by_popularity(train, test)
    reached = closure(known, n_nodes)
    # A pair as one number: those of a node stand together, the most frequent first.
    named, wanted = (pairs[:, 0] * n_nodes + pairs[:, 1] for pairs in (reached, asked))
    first = np.searchsorted(named, asked[:, 0] * n_nodes)
    place = np.searchsorted(named, wanted) - first
    return float((np.isin(wanted, named) & (place < k)).mean())


def _by_popularity(train: Any, test: Any) -> tuple[IntArray, IntArray, int]:
    """Return the pairs of both as numbers of nodes, 0 the most frequent ancestor."""
    train_labels, known = check_edges(train, "train")
    test_labels, asked = check_edges(test, "test")
    if train_labels.dtype.kind != test_labels.dtype.kind:
        raise ValueError(
            f"train has labels such as {train_labels[0].item()!r}, test such as "
            f"{test_labels[0].item()!r}; make all labels the same kind."
        )
    labels = np.union1d(train_labels, test_labels)
    known = np.searchsorted(labels, train_labels)[known]
    asked = np.searchsorted(labels, test_labels)[asked]
    counts = np.bincount(known[:, 1], minlength=len(labels))
    place = np.empty(len(labels), dtype=np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(labels))
    return place[known], place[asked], len(labels)


def _check_k(k: Any) -> None:
    if not isinstance(k, Integral) or int(k) < 1:
        raise ValueError(f"k={k!r} must be an integer of at least 1.")
