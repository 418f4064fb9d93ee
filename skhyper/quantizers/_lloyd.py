"""k-means with Lorentz sums: seeding, assignment and update as plain functions.

The objective is the weighted sum of ``|x - c|^2 / (A_x A_c)``. Up to a constant that is
``cosh(sqrt(c) d) - 1``, and the squared distance in flat space. Its minimiser over a
cluster is a normalised sum of Lorentz vectors, so that both half steps of Lloyd's
algorithm are exact and the objective can only fall.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from skhyper._utils._blocks import for_each_block
from skhyper.manifolds._nearest import BLOCK_ROWS, CodeScores
from skhyper.manifolds._ops import sqnorm

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


# below this share of what it is the difference of, a difference keeps too few digits
CANCELLED = 1e-6


class KMeansResult(NamedTuple):
    """What a run of k-means leaves behind; the centers are points of the manifold."""

    centers: FloatArray
    labels: IntArray
    cost: FloatArray
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
        Their weights, at least 0.
    """

    def __init__(self, manifold: Any, Z: FloatArray, weight: FloatArray) -> None:
        self.manifold, self.Z, self.weight = manifold, Z, weight
        self.gap = np.asarray(manifold.gap(Z))[:, 0]

    def __len__(self) -> int:
        return len(self.Z)

    @cached_property
    def lift(self) -> FloatArray:
        """Halves of the weighted Lorentz vectors: ``w x / A`` and ``w (1/A - 1/2)``."""
        share = self.weight / self.gap
        return np.column_stack([share[:, None] * self.Z, share - 0.5 * self.weight])

    def mean_variance(self) -> float:
        """Return the mean over features of the variance about the centroid."""
        center = self.centroids(np.zeros(len(self), dtype=np.int64), self.Z[:1])
        chord = self.manifold.sq_chord(self.Z, center)
        return float(np.average(chord, weights=self.weight)) / self.Z.shape[1]

    def assign(self, centers: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the nearest center of each point, and its share of the objective."""
        gap = np.asarray(self.manifold.gap(centers))[:, 0]
        scores = CodeScores(centers, gap)
        labels = np.empty(len(self), dtype=np.int64)
        cost = np.empty(len(self))

        def work(block: slice) -> None:
            Z = self.Z[block]
            labels[block] = nearest = scores.nearest(Z)
            difference = centers.take(nearest, axis=0)
            difference -= Z
            cost[block] = sqnorm(np, difference)[:, 0] / gap.take(nearest)

        for_each_block(work, len(self), BLOCK_ROWS)
        return labels, cost * (self.weight / self.gap)

    def cost(self, labels: IntArray, centers: FloatArray) -> FloatArray:
        """Return what each point adds to the objective, given its center."""
        return self.weight * self.manifold.sq_chord(self.Z, centers[labels])

    def centroids(self, labels: IntArray, centers: FloatArray) -> FloatArray:
        """Return the centroid of each cluster, or its center if it has no points."""
        n = len(self)
        members = csc_array(
            (np.ones(n), labels, np.arange(n + 1)), shape=(len(centers), n)
        )
        sums = members @ self.lift
        filled = np.flatnonzero(sums[:, -1] > 0)
        space, time = sums[filled, :-1], sums[filled, -1:]
        moved = centers.copy()
        moved[filled] = self.manifold.centroid_from_sums(space, time)
        # far out, time and space agree in most of their digits: there the midpoint,
        # which takes real differences
        length = time[:, 0] ** 2 - self.manifold.c * np.sum(space * space, axis=1)
        for k in filled[length < CANCELLED * time[:, 0] ** 2]:
            own = labels == k
            moved[k] = self.manifold.midpoint(self.Z[own], self.weight[own])
        return moved


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
    """Return the best of `n_init` runs, with no more centers than distinct points."""
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

    The product runs in coordinates centred at the mean. Where it cancels, real
    differences take its place: a repeated point costs 0 and is never drawn twice, and
    points near the rim, crowded in the coordinates, are not mistaken for repeats.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._share = cloud.weight / cloud.gap
        self._X = cloud.Z - cloud.Z.mean(axis=0)
        self._square = np.sum(self._X * self._X, axis=1)

    def to(self, points: IntArray) -> FloatArray:
        """Return (len(points), n) costs of every point for each of `points`."""
        Z, gap = self._cloud.Z, self._cloud.gap
        total = self._square[points][:, None] + self._square
        square = total - 2.0 * (self._X[points] @ self._X.T)
        close = square <= CANCELLED * total
        for costs, mask, point in zip(square, close, points, strict=True):
            difference = Z[mask] - Z[point]
            costs[mask] = np.sum(difference * difference, axis=1)
        return square * (self._share / gap[points][:, None])


def lloyd(
    cloud: Cloud, centers: FloatArray, *, max_iter: int, tol: float
) -> KMeansResult:
    """Alternate assignment and update until the objective stops falling.

    `tol` bounds the summed squared shift of the centers, relative to the mean variance
    of a feature, as in scikit-learn. A step that would raise the objective, which only
    rounding can bring about, is not taken.
    """
    threshold = tol * cloud.mean_variance() if tol else 0.0
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
    return KMeansResult(centers, labels, cost, inertia, n_iter)


def _update(
    cloud: Cloud, centers: FloatArray, labels: IntArray, cost: FloatArray
) -> FloatArray:
    """Return the centroids; clusters left empty move to the costliest points.

    Where no point costs anything, an empty cluster stays where it is.
    """
    empty = np.flatnonzero(np.bincount(labels, minlength=len(centers)) == 0)
    if empty.size:
        labels, _ = relocate(labels, cost, empty, np.zeros(empty.size))
    return cloud.centroids(labels, centers)


def relocate(
    labels: IntArray, cost: FloatArray, idle: IntArray, loss: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return `labels` with idle codes put onto the costliest points, and which moved.

    The code whose absence costs the least goes to the costliest point, and so on, while
    the point costs more than the absence. The point leaves the code it cost so much.
    """
    cheapest = np.argsort(loss, kind="stable")[: len(cost)]
    costliest = np.argsort(-cost, kind="stable")[: len(cheapest)]
    worth = cost[costliest] > loss[cheapest]
    moved = cheapest[worth]
    labels = labels.copy()
    labels[costliest[worth]] = idle[moved]
    return labels, moved
