"""Pairs (node, ancestor) of a hierarchy: all of them, and some to test with."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from skhyper._utils._edges import (
    IntArray,
    adjacency,
    ancestors,
    check_acyclic,
    check_edges,
    closure,
)
from skhyper._utils._warn import warn_user


def transitive_closure(edges: Any) -> NDArray[Any]:
    """Return all pairs (node, ancestor) of a hierarchy.

    Parameters
    ----------
    edges : array-like of shape (n_edges, 2), DataFrame or networkx.DiGraph
        Labels (child, parent), all strings or all integers. A node may have several
        parents, and several nodes may have none.

    Returns
    -------
    ndarray of shape (n_pairs, 2), str objects or int64
        Each pair once, sorted, without the pairs of a node and itself.

    Raises
    ------
    ValueError
        If `edges` are not pairs, are empty, have missing labels or labels of different
        kinds, join a node to itself, or hold a cycle, which is named.

    See Also
    --------
    hypernymy_split : Pairs to train on and to test with.

    Examples
    --------
    >>> from skhyper.datasets import transitive_closure
    >>> transitive_closure([("dog", "canine"), ("canine", "mammal")])
    array([['canine', 'mammal'],
           ['dog', 'canine'],
           ['dog', 'mammal']], dtype=object)
    """
    classes, index = _check_hierarchy(edges)
    return _labels(classes)[closure(index, len(classes))]


def hypernymy_split(
    edges: Any,
    *,
    kind: str = "random",
    test_size: float = 0.15,
    random_state: int | RandomState | None = None,
) -> Bunch:
    """Split a hierarchy into pairs (node, ancestor) to train on and to test with.

    Both nodes of a test pair occur in train.

    Parameters
    ----------
    edges : array-like of shape (n_edges, 2), DataFrame or networkx.DiGraph
        The direct edges: labels (child, parent), all strings or all integers.
    kind : {"random", "direct"}, default="random"
        What is held out. "random" draws among all pairs of the transitive closure, as
        is done in published work. Such a test is mostly answered by composing the
        pairs of train: of (dog, canine) and (canine, mammal) follows (dog, mammal).
        See `composition_recall` in `skhyper.metrics`.

        "direct" holds out direct edges, and train is the closure of the others. No
        test pair follows from those of train. Only edges are held out whose child and
        parent both keep another edge, and that follow from no others: leaves of a
        tree always stay.
    test_size : float, default=0.15
        The share of what is drawn from that is held out, of the pairs of the closure
        or of the direct edges, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Determines what is held out. Pass an int for the same output at every call.
        See :term:`Glossary <random_state>`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        train : ndarray of shape (n_train, 2), str objects or int64
            Pairs (node, ancestor), sorted.
        test : ndarray of shape (n_test, 2), str objects or int64
            Pairs held out, sorted.
        n_moved : int
            Only with "random": pairs that were drawn for the test and moved to train,
            as one of their nodes did not occur there.
        n_eligible : int
            Only with "direct": edges any one of which could have been held out.

    Raises
    ------
    ValueError
        If `edges` are no hierarchy (see `transitive_closure`), a parameter is out of
        its range, or no pair can be held out.

    Warns
    -----
    UserWarning
        If "direct" finds fewer edges to hold out than `test_size` asks for.

    See Also
    --------
    skhyper.metrics.popularity_recall : What is found without a model.
    skhyper.metrics.composition_recall : What follows without a model.

    Notes
    -----
    With "direct" the held-out edges, and the pairs that follow by way of them, are in
    neither part. Who draws pairs that are not true ones should draw them from outside
    ``transitive_closure(edges)``.

    Examples
    --------
    >>> from skhyper.datasets import hypernymy_split, load_wordnet_mammals
    >>> edges = load_wordnet_mammals().edges
    >>> split = hypernymy_split(edges, random_state=0)
    >>> len(split.train), len(split.test), split.n_moved
    (5559, 981, 0)
    >>> split = hypernymy_split(edges, kind="direct", random_state=0)
    >>> len(split.train), len(split.test), split.n_eligible
    (1651, 177, 293)
    """
    if kind not in ("random", "direct"):
        raise ValueError(f"kind={kind!r} must be 'random' or 'direct'.")
    if not isinstance(test_size, Real) or not 0 < float(test_size) < 1:
        raise ValueError(f"test_size={test_size!r} must be a number between 0 and 1.")
    classes, index = _check_hierarchy(edges)
    split = _split_pairs if kind == "random" else _split_edges
    random = check_random_state(random_state)
    train, test, counts = split(index, len(classes), float(test_size), random)
    if len(test) == 0:
        raise ValueError(
            f"test_size={test_size!r} leaves no pair to test with: of {len(index)} "
            "edges none can be held out so that both its nodes stay in train. Raise "
            "test_size, or give a larger hierarchy."
        )
    labels = _labels(classes)
    return Bunch(train=labels[train], test=labels[test], **counts)


def _split_pairs(
    index: IntArray, n_nodes: int, test_size: float, random: RandomState
) -> tuple[IntArray, IntArray, dict[str, int]]:
    """Hold out pairs of the closure."""
    pairs = closure(index, n_nodes)
    held = np.zeros(len(pairs), dtype=bool)
    drawn = random.permutation(len(pairs))[: round(test_size * len(pairs))]
    held[drawn] = True
    known = np.zeros(n_nodes, dtype=bool)
    known[pairs[~held]] = True
    held &= known[pairs].all(axis=1)
    return pairs[~held], pairs[held], {"n_moved": int(len(drawn) - held.sum())}


def _split_edges(
    index: IntArray, n_nodes: int, test_size: float, random: RandomState
) -> tuple[IntArray, IntArray, dict[str, int]]:
    """Hold out edges that do not follow from others, and that leave none alone."""
    step = adjacency(index, n_nodes)
    longer_way = (step @ ancestors(index, n_nodes).astype(bool)).tocsr()
    implied = longer_way[index[:, 0], index[:, 1]].astype(bool)
    n_edges = np.bincount(index.ravel(), minlength=n_nodes)
    eligible = np.flatnonzero(~implied & (n_edges[index] > 1).all(axis=1))
    n_asked = round(test_size * len(index))
    chosen: list[int] = []
    for edge in random.permutation(eligible):
        if len(chosen) == n_asked:
            break
        # Those chosen before may have left a node with a single edge.
        if (n_edges[index[edge]] > 1).all():
            chosen.append(int(edge))
            n_edges[index[edge]] -= 1
    if 0 < len(chosen) < n_asked:
        warn_user(
            f"Only {len(chosen)} of the {n_asked} edges that test_size={test_size:g} "
            "asks for can be held out so that both their nodes stay in train."
        )
    held = np.zeros(len(index), dtype=bool)
    held[chosen] = True
    train = closure(index[~held], n_nodes)
    return train, index[held], {"n_eligible": len(eligible)}


def _check_hierarchy(edges: Any) -> tuple[NDArray[Any], IntArray]:
    classes, index = check_edges(edges)
    check_acyclic(index, classes)
    return classes, index


def _labels(classes: NDArray[Any]) -> NDArray[Any]:
    """Return labels of which many copies take little memory: objects, not strings."""
    return classes.astype(object) if classes.dtype.kind == "U" else classes
