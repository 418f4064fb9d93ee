"""Whether neighbours of a row are found among the rows with the longest prefix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import euclidean_distances

from skhyper._utils._blocks import for_each_block
from skhyper.metrics._codes import prefix_ids

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# numbers that one step works on
BLOCK_SIZE = 2**20

# squared distances that differ by less than this share of the largest squared norm do
# so by rounding
TIE = 1e-12


def neighbor_hits(
    X: FloatArray, codes: IntArray, queries: IntArray, n_neighbors: int
) -> FloatArray:
    """Return the share of each query's neighbours that its code finds.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The rows.
    codes : array of shape (n_samples, n_levels)
        Their codes.
    queries : array of shape (n_queries,)
        Rows to look at.
    n_neighbors : int
        From 1 to ``n_samples - 1``. The neighbours of a row are all others that are no
        farther than the one of this rank: more of them where there are ties.

    Returns
    -------
    array of shape (n_queries, n_levels)
        Column m is by the first m + 1 tokens. As many rows are taken as there are
        neighbours, those first that share the longest prefix with the query. Of the
        group of equals for which there is not room enough, each counts by the chance to
        be taken.
    """
    X = X - X.mean(axis=0)
    sq_norm = np.einsum("ij,ij->i", X, X)[:, None]
    slack = TIE * sq_norm.max()
    ids = prefix_ids(codes)
    # others that share at least the first 0, 1, ... tokens of a row
    sharing = np.column_stack([np.bincount(column)[column] for column in ids.T]) - 1
    sharing = np.column_stack([np.full(len(X), len(X) - 1), sharing])
    hits = np.empty((len(queries), codes.shape[1]))

    def work(block: slice) -> None:
        rows = queries[block]
        distance = euclidean_distances(
            X[rows],
            X,
            X_norm_squared=sq_norm[rows],
            Y_norm_squared=sq_norm.T,
            squared=True,
        )
        distance[np.arange(len(rows)), rows] = np.inf
        last = np.partition(distance, n_neighbors - 1, axis=1)[:, n_neighbors - 1]
        near = distance <= last[:, None] + slack
        for at, row in enumerate(rows):
            same = np.cumprod(codes[near[at]] == codes[row], axis=1).sum(axis=1)
            hits[block.start + at] = _share_found(same, sharing[row])

    for_each_block(work, len(queries), max(1, BLOCK_SIZE // len(X)))
    return hits


def _share_found(same: IntArray, sharing: IntArray) -> list[float]:
    """Return, by each number of tokens, the share of a row's neighbours found.

    `same` counts the first tokens that each neighbour shares, and `sharing` the others
    that share at least so many.
    """
    room, n_levels = len(same), len(sharing) - 1
    found = []
    for depth in range(1, n_levels + 1):
        shared = np.minimum(same, depth)
        sooner = np.append(sharing[1 : depth + 1], 0)[shared]
        chance = (room - sooner) / (sharing[shared] - sooner)
        found.append(float(np.clip(chance, 0.0, 1.0).mean()))
    return found
