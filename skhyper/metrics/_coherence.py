"""Whether codes and points follow the shape of a known hierarchy."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, eye_array
from scipy.stats import spearmanr
from sklearn.utils import Bunch, check_array, check_random_state

from skhyper._utils._edges import (
    IntArray,
    ancestors,
    check_acyclic,
    check_rows,
)
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics._codes import check_codes, prefix_ids

FloatArray = NDArray[np.float64]


def prefix_coherence(
    codes: ArrayLike,
    edges: Any,
    *,
    n_pairs: int = 10_000,
    random_state: int | RandomState | None = None,
) -> Bunch:
    """How near in a hierarchy the nodes are that share a prefix of their codes.

    Parameters
    ----------
    codes : array-like of shape (n_nodes, n_levels)
        Integer tokens >= 0 of every node, column 0 the coarsest.
    edges : array-like of shape (n_edges, 2), int
        The direct edges: pairs (child, parent) of rows of `codes`.
    n_pairs : int, default=10000
        For every length of the prefix, the number of pairs of nodes to look at, drawn
        with repetition. Where there are no more, all are looked at.
    random_state : int, RandomState instance or None, default=None
        Draws the pairs. Pass an int for the same output at every call. See
        :term:`Glossary <random_state>`.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Entry m is about pairs of different nodes that share their first m tokens, and
        so entry 0 about pairs of any nodes: what chance gives.

        path_similarity : ndarray of shape (n_levels + 1,), float64
            Mean of ``1 / (1 + length)``, with the length of the shortest way from
            one node up to a common ancestor and down to the other, and 0 where they
            have none. A node is an ancestor of itself. NaN where no nodes share such a
            prefix.
        ancestor_depth : ndarray of shape (n_levels + 1,), float64
            Mean depth of the lowest common ancestor. The depth is the number of nodes
            on the shortest way down to it, 1 for a root; it is 0 where there is none.
        n_pairs : ndarray of shape (n_levels + 1,), int64
            Number of pairs that there are.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0, `edges` are not pairs of different
        rows of it or hold a cycle, or `n_pairs` is not an integer of at least 1.

    See Also
    --------
    prefix_agreement : Where every level of the hierarchy has labels.
    tree_distortion : The same of points.

    Examples
    --------
    >>> from skhyper.metrics import prefix_coherence
    >>> edges = [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)]
    >>> codes = [[0, 0], [1, 0], [2, 0], [1, 1], [1, 2], [2, 1], [2, 2]]
    >>> coherence = prefix_coherence(codes, edges)
    >>> coherence.path_similarity.round(2)
    array([0.34, 0.44,  nan])
    >>> coherence.ancestor_depth.round(2), coherence.n_pairs
    (array([1.29, 2.  ,  nan]), array([21,  6,  0]))
    """
    _check_count(n_pairs)
    tokens = check_codes(codes)
    ways = _ways_up(edges, len(tokens))
    random = check_random_state(random_state)
    whole = np.zeros((len(tokens), 1), dtype=np.int64)
    table = []
    for groups in np.hstack([whole, prefix_ids(tokens)]).T:
        pairs, total = _pairs_within(groups, int(n_pairs), random)
        length, depth = _lowest_common(ways, pairs)
        means = (np.mean(1 / (1 + length)), np.mean(depth)) if total else (np.nan,) * 2
        table.append((*means, total))
    similarity, depths, totals = zip(*table, strict=True)
    return Bunch(
        path_similarity=np.array(similarity),
        ancestor_depth=np.array(depths),
        n_pairs=np.array(totals, dtype=np.int64),
    )


class TreeDistortion(NamedTuple):
    """What `tree_distortion` returns."""

    distortion: float
    scale: float
    spearman: float


def tree_distortion(
    X: ArrayLike,
    edges: Any,
    *,
    manifold: Euclidean | PoincareBall | None = None,
    n_pairs: int = 100_000,
    random_state: int | RandomState | None = None,
) -> TreeDistortion:
    """How well the distances of points follow those of a hierarchy.

    Parameters
    ----------
    X : array-like of shape (n_nodes, n_features)
        The points of the nodes.
    edges : array-like of shape (n_edges, 2), int
        The direct edges: pairs (child, parent) of rows of `X`.
    manifold : Euclidean, PoincareBall or None, default=None
        The space of the points. None is flat space.
    n_pairs : int, default=100000
        Number of pairs of nodes to look at, drawn with repetition. Where there are no
        more, all are looked at. Pairs without a common ancestor are left out.
    random_state : int, RandomState instance or None, default=None
        Draws the pairs. Pass an int for the same output at every call. See
        :term:`Glossary <random_state>`.

    Returns
    -------
    distortion : float
        Mean over the pairs of ``|scale * d / length - 1|``, with the distance d of the
        points and the length of the shortest way from one node up to a common ancestor
        and down to the other: 0 if they are in proportion, and at most 1.
    scale : float
        The factor for which this mean is lowest; 0 if all points are the same.
    spearman : float
        Rank correlation of the two, from -1 to 1. NaN where one is constant.

    Raises
    ------
    ValueError
        If `X` is not finite or not in the ball, `edges` are not pairs of different rows
        of it or hold a cycle, `n_pairs` is not an integer of at least 1, or no pair
        that was drawn has a common ancestor.

    See Also
    --------
    hierarchy_ranking : Whether the relatives are the nearest.
    prefix_coherence : The same of codes.
    delta_hyperbolicity : Whether distances are those of any tree.

    Examples
    --------
    >>> from skhyper.metrics import tree_distortion
    >>> tree_distortion([[0.0], [3.0], [6.0]], [(1, 0), (2, 1)]).distortion
    0.0
    """
    _check_count(n_pairs)
    x = check_array(X, dtype=np.float64, input_name="X")
    space = Euclidean() if manifold is None else manifold
    space.check_points(x, "X")
    ways = _ways_up(edges, len(x))
    everyone = np.zeros(len(x), dtype=np.int64)
    random = check_random_state(random_state)
    pairs, _ = _pairs_within(everyone, int(n_pairs), random)
    length, _ = _lowest_common(ways, pairs)
    related = np.isfinite(length)
    if not related.any():
        raise ValueError(
            f"None of the n_pairs={n_pairs} pairs that were drawn has a common "
            "ancestor in edges. Raise n_pairs, or leave out nodes without edges."
        )
    length, (one, other) = length[related], pairs[related].T
    distance = space.dist(x[one], x[other])
    scale = _best_scale(distance / length)
    varied = np.ptp(distance) > 0 and np.ptp(length) > 0
    return TreeDistortion(
        float(np.abs(scale * distance / length - 1).mean()),
        scale,
        float(spearmanr(distance, length).statistic) if varied else np.nan,
    )


class NormStatistics(NamedTuple):
    """What `norm_statistics` returns."""

    mean: float
    std: float
    cv: float


def norm_statistics(
    X: ArrayLike, *, manifold: Euclidean | PoincareBall | None = None
) -> NormStatistics:
    """Mean and spread of the points' distances from the origin.

    In a hierarchy that is embedded root first, the norm tells general from special
    nodes. [1]_ compares its variation before quantization.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The points.
    manifold : Euclidean, PoincareBall or None, default=None
        The space of the points. None is flat space.

    Returns
    -------
    mean : float
        Mean of ``|x|``, on the ball of ``|logmap0(x)|``, which is half the distance
        from the origin.
    std : float
        Their standard deviation, of all rows (over n_samples).
    cv : float
        Coefficient of variation, ``std / mean``; NaN where all points are the origin.

    Raises
    ------
    ValueError
        If `X` is not finite or not in the ball.

    References
    ----------
    .. [1] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization:
       Discrete Representations for Data with Latent Hierarchies", arXiv 2505.12404,
       Appendix D.

    Examples
    --------
    >>> from skhyper.metrics import norm_statistics
    >>> norm_statistics([[3.0, 4.0], [0.0, 3.0]])
    NormStatistics(mean=4.0, std=1.0, cv=0.25)
    """
    x = check_array(X, dtype=np.float64, input_name="X")
    space = Euclidean() if manifold is None else manifold
    space.check_points(x, "X")
    norms = np.linalg.norm(space.logmap0(x), axis=1)
    mean, std = float(norms.mean()), float(norms.std())
    return NormStatistics(mean, std, std / mean if mean else np.nan)


def _check_count(n_pairs: Any) -> None:
    if not isinstance(n_pairs, Integral) or int(n_pairs) < 1:
        raise ValueError(f"n_pairs={n_pairs!r} must be an integer of at least 1.")


def _ways_up(edges: Any, n_nodes: int) -> csr_array:
    """Return for each node and ancestor, itself too, the nodes on the shortest way."""
    index = check_rows(edges, n_nodes)
    check_acyclic(index, np.arange(n_nodes))
    up = ancestors(index, n_nodes)
    up.data += 1
    return (up + eye_array(n_nodes, dtype=np.int64)).tocsr()


def _pairs_within(
    groups: IntArray, n_pairs: int, random: RandomState
) -> tuple[IntArray, int]:
    """Return pairs of different rows of a group, and how many there are in all."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    # Row i of a group of s has s - 1 others. Both orders of a pair are looked at.
    ends = np.cumsum(sizes * (sizes - 1))
    if ends[-1] <= 2 * n_pairs:
        drawn = np.arange(ends[-1])
    else:
        drawn = random.randint(ends[-1], size=n_pairs, dtype=np.int64)
    group = np.searchsorted(ends, drawn, side="right")
    within = drawn - (ends - sizes * (sizes - 1))[group]
    one, other = np.divmod(within, sizes[group] - 1)
    other += other >= one
    start = (np.cumsum(sizes) - sizes)[group]
    pairs = order[np.column_stack([start + one, start + other])]
    return pairs, int(ends[-1]) // 2


def _lowest_common(ways: csr_array, pairs: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the length by way of the best common ancestor, and the lowest's depth.

    These are infinite and 0 where there is none.
    """
    one, other = ways[pairs[:, 0]], ways[pairs[:, 1]]
    common = one.multiply(other.astype(bool)) + other.multiply(one.astype(bool))
    common = common.tocsr()
    some = np.diff(common.indptr) > 0
    starts = common.indptr[:-1][some]
    length, depth = np.full(len(pairs), np.inf), np.zeros(len(pairs))
    # The common ancestor itself was counted on both ways.
    length[some] = np.minimum.reduceat(common.data, starts) - 2
    depth[some] = np.maximum.reduceat(_depth(ways)[common.indices], starts)
    return length, depth


def _depth(ways: csr_array) -> IntArray:
    """Return the number of nodes on the shortest way from a root to each node."""
    roots = np.flatnonzero(np.diff(ways.indptr) == 1)
    down = ways[:, roots].tocsr()
    return np.minimum.reduceat(down.data, down.indptr[:-1])


def _best_scale(ratio: FloatArray) -> float:
    """Return the s that makes the mean of |s * ratio - 1| lowest.

    That is the median of 1 / ratio in which each counts as much as its ratio.
    """
    ratio = np.sort(ratio[ratio > 0])[::-1]
    if ratio.size == 0:
        return 0.0
    total = np.cumsum(ratio)
    return float(1 / ratio[np.searchsorted(total, total[-1] / 2)])
