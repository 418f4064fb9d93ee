"""Recommenders without a network, which any other should beat."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from skhyper._utils._params import Interval, check_params
from skhyper.generative._recommender_base import (
    FloatArray,
    Histories,
    IntArray,
    NextItemRecommender,
)
from skhyper.generative._scoring import (
    BLOCK_ROWS,
    ScoringRecommender,
    largest,
    read_sequences,
)

# Cosines, and sums of a few, are compared by so many decimals: what should tie differs
# in the last of 16.
DECIMALS = 10


class CountingRecommender(NextItemRecommender):
    """A recommender that counts what it sees, once."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def fit(
        self,
        sequences: Sequence[ArrayLike],
        y: None = None,
        *,
        items: ArrayLike | None = None,
    ) -> Self:
        """Learn from what users have had.

        Parameters
        ----------
        sequences : list of sequences of item ids
            What each user has had, oldest first. Ids are all integers or all strings.
        y : None
            Ignored.
        items : array-like of shape (n_items,), default=None
            The ids of all items that there are; None takes those of the sequences.

        Returns
        -------
        self : object
            The fitted recommender.

        Raises
        ------
        ValueError
            If there is no sequence, one is empty, ids are of mixed types, `items` has
            repeats or lacks one that occurs, or a parameter is out of range.
        """
        check_params(self)
        self.items_, histories = read_sequences(sequences, items)
        self._learn(histories)
        return self

    @abstractmethod
    def _learn(self, histories: Histories) -> None:
        """Set the fitted attributes other than `items_`."""


class PopularityRecommender(CountingRecommender):
    """Recommend the items that occur most often, whatever a user has had.

    Attributes
    ----------
    items_ : array of shape (n_items,)
        The ids of all items, sorted.
    counts_ : int64 array of shape (n_items,)
        How often each occurs in the sequences.

    See Also
    --------
    MarkovRecommender : Looks at the last item.

    Notes
    -----
    Items that occur equally often are ranked by their ids, the lowest first.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, "Performance of Recommender Algorithms on
       Top-N Recommendation Tasks", RecSys 2010: "TopPop".

    Examples
    --------
    >>> from skhyper.generative import PopularityRecommender
    >>> recommender = PopularityRecommender().fit([["tea", "jam"], ["jam", "oil"]])
    >>> recommender.recommend([["oil"]], k=2)
    array([['jam', 'oil']], dtype='<U3')
    """

    counts_: IntArray

    def _learn(self, histories: Histories) -> None:
        self.counts_ = _count(histories, len(self.items_))

    def _ranked(self, histories: Histories, k: int) -> IntArray:
        best = largest(self.counts_[None], k)
        return np.repeat(best, len(histories.lengths), axis=0)


class ItemKNNRecommender(CountingRecommender, ScoringRecommender):
    """Recommend items that were taken by the same users as those of the history.

    The similarity of two items is the cosine of their columns in the table of users and
    items, which has 1 where a user had the item: the number of users of both, divided
    by the geometric mean of the numbers of users of each [1]_. An item's score is the
    sum of its similarities to the items of the history.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many of the most similar items are kept of each item. The others have
        similarity 0.
    decay : float, default=1.0
        The last item of a history counts 1, the one before it `decay`, the next one
        ``decay ** 2``, and so on [2]_. 1 forgets the order.

    Attributes
    ----------
    items_ : array of shape (n_items,)
        The ids of all items, sorted.
    neighbors_ : int64 array of shape (n_items, n_kept)
        Rows of `items_`: the neighbours of each item, the most similar first, and of
        equally similar ones the lowest. -1 where there are no more with a common user.
    similarities_ : float64 array of shape (n_items, n_kept)
        Their cosines, 0 where there is none.

    See Also
    --------
    MarkovRecommender : Which item follows which.

    Notes
    -----
    No item is its own neighbour, and one that occurs several times in a history counts
    each time. Items of equal scores are ranked by their ids, the lowest first, and so
    are those that are like nothing in the history.

    References
    ----------
    .. [1] M. Deshpande, G. Karypis, "Item-Based Top-N Recommendation Algorithms", ACM
       Transactions on Information Systems 22(1), 2004: cosine-based similarity.
    .. [2] M. Ludewig, D. Jannach, "Evaluation of Session-Based Recommendation
       Algorithms", User Modeling and User-Adapted Interaction 28, 2018: neighbours
       with recent items weighted more, and how strong they are beside networks.

    Examples
    --------
    >>> from skhyper.generative import ItemKNNRecommender
    >>> baskets = [["tea", "jam"], ["tea", "jam"], ["tea", "oil"], ["oil", "tin"]]
    >>> recommender = ItemKNNRecommender().fit(baskets)
    >>> recommender.recommend([["tea"], ["tin"]], k=1)
    array([['jam'],
           ['oil']], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="right")],
    }

    neighbors_: IntArray
    similarities_: FloatArray

    def __init__(self, n_neighbors: int = 100, *, decay: float = 1.0) -> None:
        self.n_neighbors = n_neighbors
        self.decay = decay

    def _learn(self, histories: Histories) -> None:
        incidence = _table(histories, np.ones(len(histories.rows)), len(self.items_))
        incidence.data[:] = 1.0  # repeats of an item were added up
        self.neighbors_, self.similarities_ = _neighbors(
            incidence, int(self.n_neighbors)
        )

    def _scores(self, histories: Histories) -> NDArray[Any]:
        n_items = len(self.items_)
        weight = float(self.decay) ** (_places_left(histories) - 1.0)
        table = _table(histories, weight, n_items) @ self._similarity()
        table.data = table.data.round(DECIMALS)
        return np.asarray(table.toarray())

    def _similarity(self) -> csr_array:
        """Return the similarities as a sparse matrix, rows of items of the history."""
        kept = self.neighbors_ >= 0
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        content = self.similarities_[kept], self.neighbors_[kept], starts
        return csr_array(content, shape=(len(self.items_), len(self.items_)))


class MarkovRecommender(CountingRecommender, ScoringRecommender):
    """Recommend what most often came next after the last item of the history.

    The probability that item j follows item i is estimated by [1]_

    .. math:: (n_{ij} + s p_j) / (n_i + s)

    with the number of times that j came right after i, the number of times that any
    item did, the share p_j of j in all events, and the parameter s. Where an item has
    few successors, popularity decides.

    Parameters
    ----------
    smoothing : float, default=1.0
        The s of the formula: how many transitions the popularity counts for.

    Attributes
    ----------
    items_ : array of shape (n_items,)
        The ids of all items, sorted.
    counts_ : int64 array of shape (n_items,)
        How often each occurs in the sequences.
    transitions_ : int64 array of shape (n_transitions, 3)
        Rows of `items_` of an item and of the next, and how often this occurs; in
        lexicographic order.

    See Also
    --------
    SASRecRecommender : Looks at the items before the last as well.

    Notes
    -----
    Items of equal scores are ranked by their ids, the lowest first.

    References
    ----------
    .. [1] D. J. C. MacKay, L. C. Bauman Peto, "A Hierarchical Dirichlet Language
       Model", Natural Language Engineering 1(3), 1995.

    Examples
    --------
    >>> from skhyper.generative import MarkovRecommender
    >>> recommender = MarkovRecommender().fit([[1, 2, 3, 1, 2], [3, 3]])
    >>> recommender.recommend([[2], [3, 1]], k=2)
    array([[3, 1],
           [2, 3]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "smoothing": [Interval(Real, 0, None, closed="neither")],
    }

    counts_: IntArray
    transitions_: IntArray

    def __init__(self, *, smoothing: float = 1.0) -> None:
        self.smoothing = smoothing

    def _learn(self, histories: Histories) -> None:
        n_items = len(self.items_)
        earlier = np.flatnonzero(_places_left(histories) > 1)
        pairs = histories.rows[earlier] * n_items + histories.rows[earlier + 1]
        pair, count = np.unique(pairs, return_counts=True)
        self.transitions_ = np.column_stack([*np.divmod(pair, n_items), count])
        self.counts_ = _count(histories, n_items)

    def _scores(self, histories: Histories) -> NDArray[Any]:
        # the formula without its denominator, which is the same for all items, and
        # times the number of events, so that what ties does so exactly
        n_items = len(self.items_)
        before, after, count = self.transitions_.T
        followed = csr_array((count, (before, after)), shape=(n_items, n_items))
        often = followed[histories.last()].toarray() * self.counts_.sum()
        return np.asarray(often + float(self.smoothing) * self.counts_)


def _places_left(histories: Histories) -> IntArray:
    """Return how many items each one is from the end of its sequence: the last 1."""
    ends = histories.starts[1:][histories.owners]
    return np.asarray(ends - np.arange(len(ends)))


def _count(histories: Histories, n_items: int) -> IntArray:
    return np.bincount(histories.rows, minlength=n_items).astype(np.int64)


def _table(histories: Histories, values: NDArray[Any], n_items: int) -> csr_array:
    """Return a sparse table of histories and items; repeats are added up."""
    content = values, histories.rows, histories.starts
    table = csr_array(content, shape=(len(histories.lengths), n_items), copy=True)
    table.sum_duplicates()
    return table


def _neighbors(incidence: csr_array, n_neighbors: int) -> tuple[IntArray, FloatArray]:
    """Return the columns most similar to each, -1 after the last, and the cosines."""
    users = incidence.tocsc().T.tocsr()
    n_users = np.diff(users.indptr).astype(np.float64)
    rows, columns, cosines = [], [], []
    for first in range(0, len(n_users), BLOCK_ROWS):
        both = (users[first : first + BLOCK_ROWS] @ incidence).tocoo()
        row, column = both.row.astype(np.int64) + first, both.col
        cosine = both.data / np.sqrt(n_users[row] * n_users[column])
        other = row != column
        row, column, cosine = row[other], column[other], cosine[other]
        order = np.lexsort((column, -cosine.round(DECIMALS), row))
        row, column, cosine = row[order], column[order], cosine[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < n_neighbors
        rows.append(np.column_stack([row, place])[kept])
        columns.append(column[kept])
        cosines.append(cosine[kept])
    at = np.concatenate(rows)
    shape = len(n_users), int(at[:, 1].max(initial=0)) + 1
    neighbors = np.full(shape, -1, dtype=np.int64)
    similarities = np.zeros(shape)
    neighbors[at[:, 0], at[:, 1]] = np.concatenate(columns)
    similarities[at[:, 0], at[:, 1]] = np.concatenate(cosines)
    return neighbors, similarities
