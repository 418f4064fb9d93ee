"""From points of any dimension to the unit disk, and the arcs to draw there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from skhyper.manifolds import Euclidean, PoincareBall

FloatArray = NDArray[np.float64]
Manifold = Euclidean | PoincareBall

# where scale="auto" puts the point that is further out than 95 % of the others
FIT_QUANTILE = 0.95
FIT_RADIUS = 0.9

DISK = PoincareBall(1.0)


def geodesic(x: FloatArray, y: FloatArray, n: int = 32) -> FloatArray:
    """Return points along geodesics of the unit disk.

    Parameters
    ----------
    x, y : float64 arrays of shape (..., n_features)
        The ends, inside the unit disk (or ball).
    n : int, default=32
        Points of an arc, at least 2, the ends among them.

    Returns
    -------
    float64 array of shape (..., n, n_features)
        Evenly spaced in hyperbolic length. The arc lies on the circle, or the
        straight line, that meets the rim at right angles.
    """
    x, y = np.broadcast_arrays(x, y)
    step = DISK.logmap0(DISK.add(-x, y))[..., None, :]
    arc = DISK.add(x[..., None, :], DISK.expmap0(np.linspace(0, 1, n)[:, None] * step))
    arc[..., 0, :], arc[..., -1, :] = x, y
    return np.asarray(arc)


class TangentPlane(NamedTuple):
    """The plane of most variance in the tangent space at the mean of points.

    Vectors of that space are given in orthonormal coordinates of half their length
    on the ball (``|v| = d / 2``), as at the origin; in flat space they are
    differences from the mean.
    """

    manifold: Manifold
    mean: FloatArray
    axes: FloatArray  # (2, n_features), orthonormal rows
    explained_variance_ratio: float

    def coordinates(self, points: FloatArray) -> FloatArray:
        """Return the coordinates (n_points, 2) of points in the plane."""
        return _log(self.manifold, self.mean, points) @ self.axes.T


def tangent_pca(manifold: Manifold, points: FloatArray) -> TangentPlane:
    """Fit the plane: principal components of logarithms at the Frechet mean.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    points : float64 array of shape (n_points, n_features)
        The points.

    Returns
    -------
    TangentPlane
        Each axis has the sign that makes its entry of largest size positive.
    """
    mean = np.asarray(manifold.frechet_mean(points))
    v = _log(manifold, mean, points)
    if v.shape[1] < 2:
        axes = np.eye(2, v.shape[1])
        return TangentPlane(manifold, mean, axes, 1.0)
    d = v.shape[1]
    scatter = v.T @ v
    _, vectors = eigh(scatter, subset_by_index=[d - 2, d - 1])
    axes = vectors.T[::-1]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[[0, 1], largest])[:, None]
    total = float(np.trace(scatter))
    within = float(np.sum((v @ axes.T) ** 2))
    ratio = min(within / total, 1.0) if total > 0 else 1.0
    return TangentPlane(manifold, mean, axes, ratio)


def _log(manifold: Manifold, mean: FloatArray, points: FloatArray) -> FloatArray:
    return np.asarray(manifold.logmap0(manifold.add(-mean, points)))


def fit_scale(v: FloatArray) -> float:
    """Return the factor for tangent vectors that fills the disk.

    It puts the 95 % quantile of their lengths at 0.9 of the disk's radius; points
    that all lie in one place are left there.
    """
    reach = float(np.quantile(np.linalg.norm(v, axis=1), FIT_QUANTILE))
    return float(np.arctanh(FIT_RADIUS)) / reach if reach > 0 else 1.0


class DiskMap:
    """The map from points of a manifold to the unit disk that suits given points.

    Points of a disk, or of a line, are shown as they are, at radius 1. Others go
    through `tangent_pca`, and so do flat ones; by default these are magnified.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    points : float64 array of shape (n_points, n_features)
        The points that settle the plane and the scale.
    scale : "auto" or float, default="auto"
        Factor for tangent vectors at the centre of the picture.
    """

    def __init__(
        self, manifold: Manifold, points: FloatArray, scale: float | str = "auto"
    ) -> None:
        self.exact = manifold.c > 0 and points.shape[1] <= 2
        self.manifold = manifold
        self.flat = manifold.c == 0
        self.plane = None if self.exact else tangent_pca(manifold, points)
        self.scale = 1.0
        if scale != "auto":
            self.scale = float(scale)
        elif not self.exact:
            self.scale = fit_scale(self._tangents(points))

    @property
    def explained_variance_ratio(self) -> float | None:
        """Share of the variance in the plane, or None for points shown as they are."""
        return None if self.plane is None else self.plane.explained_variance_ratio

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return points of the unit disk, shape (n_points, 2)."""
        if self.exact and self.scale == 1.0:
            return _pad(points * np.sqrt(self.manifold.c))
        return np.asarray(DISK.expmap0(self.scale * self._tangents(points)))

    def _tangents(self, points: FloatArray) -> FloatArray:
        """Return tangent vectors at the centre of a disk of radius 1."""
        unit = np.sqrt(self.manifold.c) if self.manifold.c > 0 else 1.0
        if self.plane is None:
            return _pad(unit * np.asarray(self.manifold.logmap0(points)))
        return np.asarray(unit * self.plane.coordinates(points))


def _pad(x: FloatArray) -> FloatArray:
    """Return points of a line as points of the plane, and others as they are."""
    return np.pad(x, ((0, 0), (0, 2 - x.shape[1])))
