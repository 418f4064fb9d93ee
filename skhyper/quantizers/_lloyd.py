"""k-means with Lorentz sums: seeding, assignment and update as plain functions.

The objective is the weighted sum of ``|x - c|^2 / (A_x A_c)``, that is of ``cosh(sqrt(c)
d) - 1`` up to a constant, and of the squared distance in flat space. Its minimiser
over a cluster is a normalised sum of Lorentz vectors, so that both half steps of
Lloyd's algorithm are exact and the objective can only fall.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from skhyper._utils._blocks import for_each_block
from skhyper.manifolds._nearest import BLOCK_ROWS, CodeScores

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class KMeansResult(NamedTuple):
    """What a run of k-means leaves behind; the centers are points of the manifold."""

    centers: FloatArray
    labels: IntArray
    inertia: float
    n_iter: int


class Cloud:
    """Weighted points of a manifold, with what every iteration needs of them.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    Z : float64 array of shape (n_points, n_features)
        The points.
    weight : float64 array of shape (n_points,)
        Their weights, all above 0.
    """

    def __init__(self, manifold: Any, Z: FloatArray, weight: FloatArray) -> None:
        self.manifold, self.Z, self.weight = manifold, Z, weight
        self.gap = np.asarray(manifold.gap(Z))[:, 0]
        # w x / A and w (1/A - 1/2): the halves of the Lorentz vectors
        share = weight / self.gap
        self.lift = np.column_stack([share[:, None] * Z, share - 0.5 * weight])

    def __len__(self) -> int:
        return len(self.Z)

    def center(self) -> FloatArray:
        """Return the centroid of the whole cloud."""
        return self.centroids(self.lift.sum(axis=0, keepdims=True))

    def centroids(self, sums: FloatArray) -> FloatArray:
        """Return the centroid of each row of Lorentz sums."""
        centroid = self.manifold.centroid_from_sums(sums[:, :-1], sums[:, -1:])
        return np.asarray(centroid)

    def assign(self, centers: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the nearest center of each point, and its share of the objective."""
        gap = np.asarray(self.manifold.gap(centers))[:, 0]
        scores = CodeScores(centers, gap)
        labels = np.empty(len(self), dtype=np.int64)
        cost = np.empty(len(self))

        def work(block: slice) -> None:
            Z = self.Z[block]
            labels[block] = nearest = scores.nearest(Z)
            cost[block] = scores.exact(Z, nearest)

        for_each_block(work, len(self), BLOCK_ROWS)
        return labels, cost * (self.weight / self.gap)

    def sums(self, labels: IntArray, n_clusters: int) -> FloatArray:
        """Return the Lorentz sums (n_clusters, n_features + 1) of each cluster."""
        n = len(self)
        members = csc_array(
            (np.ones(n), labels, np.arange(n + 1)), shape=(n_clusters, n)
        )
        return np.asarray(members @ self.lift)


def kmeans(
    cloud: Cloud,
    n_clusters: int,
    *,
    rng: np.random.RandomState,
    init: FloatArray | None = None,
    n_init: int = 1,
    max_iter: int = 300,
    tol: float = 1e-4,
) -> KMeansResult:
    """Return the best of `n_init` runs; fewer centers if there are fewer distinct points."""
    best = None
    for _ in range(n_init if init is None else 1):
        start = seed_centers(cloud, n_clusters, rng) if init is None else init
        result = lloyd(cloud, start, max_iter=max_iter, tol=tol)
        if best is None or result.inertia < best.inertia:
            best = result
    assert best is not None
    return best


def seed_centers(
    cloud: Cloud, n_clusters: int, rng: np.random.RandomState
) -> FloatArray:
    """Greedy k-means++ on the objective of `lloyd`.

    Each center is the best of ``2 + log(n_clusters)`` points drawn with probability
    proportional to their cost so far, as scikit-learn's KMeans does. Seeding ends
    early when every point is a center already.
    """
    n_trials = 2 + int(np.log(n_clusters))
    chosen = [int(rng.choice(len(cloud), p=cloud.weight / cloud.weight.sum()))]
    chords = _ChordsToPoints(cloud)
    cost = chords.to(np.array(chosen))[0]
    for _ in range(1, n_clusters):
        cumulative = np.cumsum(cost)
        if cumulative[-1] <= 0:
            break
        draws = rng.uniform(size=n_trials) * cumulative[-1]
        trials = np.searchsorted(cumulative, draws, side="right")
        # a draw rounded up to the total would fall off the end
        trials = np.minimum(trials, np.flatnonzero(cost)[-1])
        trial_cost = np.minimum(cost, chords.to(trials))
        best = int(trial_cost.sum(axis=1).argmin())
        chosen.append(int(trials[best]))
        cost = trial_cost[best]
    return cloud.Z[chosen]


class _ChordsToPoints:
    """Costs of all points against a few of them, from one matrix product.

    The product runs in coordinates centred at the mean, and what is below its rounding
    error counts as 0, so that a repeated point is never drawn twice.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._share = cloud.weight / cloud.gap
        self._gap = cloud.gap
        self._X = cloud.Z - cloud.Z.mean(axis=0)
        self._square = np.sum(self._X * self._X, axis=1)
        # rounding in x - mean counts too, hence the length of the uncentred point
        length = np.sqrt(np.sum(cloud.Z * cloud.Z, axis=1))
        self._error = 8 * np.finfo(np.float64).eps * (length.max() ** 2)

    def to(self, points: IntArray) -> FloatArray:
        """Return (len(points), n) costs of every point for each of `points`."""
        cross = self._X[points] @ self._X.T
        square = self._square[points][:, None] + self._square - 2.0 * cross
        noise = self._error + 1e-15 * (self._square[points][:, None] + self._square)
        square[square <= noise] = 0.0
        square[np.arange(len(points)), points] = 0.0
        return square * (self._share / self._gap[points][:, None])


def lloyd(
    cloud: Cloud, centers: FloatArray, *, max_iter: int, tol: float
) -> KMeansResult:
    """Alternate assignment and update until the objective stops falling.

    `tol` bounds the summed squared shift of the centers, relative to the mean variance
    of a feature, as in scikit-learn. A step that would raise the objective, which only
    rounding can bring about, is not taken.
    """
    threshold = tol * _mean_variance(cloud)
    labels, cost = cloud.assign(centers)
    inertia, n_iter = float(cost.sum()), 0
    while n_iter < max_iter:
        n_iter += 1
        moved = _update(cloud, centers, labels, cost)
        moved_labels, moved_cost = cloud.assign(moved)
        moved_inertia = float(moved_cost.sum())
        if not moved_inertia < inertia:
            break
        shift = float(np.sum(cloud.manifold.sq_chord(moved, centers)))
        centers, labels, cost = moved, moved_labels, moved_cost
        inertia = moved_inertia
        if shift <= threshold:
            break
    return KMeansResult(centers, labels, inertia, n_iter)


def _mean_variance(cloud: Cloud) -> float:
    chord = cloud.manifold.sq_chord(cloud.Z, cloud.center())
    return float(np.average(chord, weights=cloud.weight)) / cloud.Z.shape[1]


def _update(
    cloud: Cloud, centers: FloatArray, labels: IntArray, cost: FloatArray
) -> FloatArray:
    """Return the centroids; clusters left empty move to the costliest points.

    A relocated point leaves the cluster that it cost so much. Where no point costs
    anything, an empty cluster stays where it is.
    """
    n_clusters = len(centers)
    counts = np.bincount(labels, minlength=n_clusters)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        costliest = np.argsort(-cost, kind="stable")[: empty.size]
        costliest = costliest[cost[costliest] > 0]
        labels = labels.copy()
        labels[costliest] = empty[: costliest.size]
        counts = np.bincount(labels, minlength=n_clusters)
    moved = centers.copy()
    filled = counts > 0
    moved[filled] = cloud.centroids(cloud.sums(labels, n_clusters)[filled])
    return moved
