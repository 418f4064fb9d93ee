"""Flat space under the same names: the ball's limit as its curvature falls to 0."""

from __future__ import annotations

import numpy as np

from skhyper.manifolds._nearest import nearest_code
from skhyper.manifolds._ops import (
    Array,
    as_arrays,
    column_weights,
    is_numpy,
    norm,
    sqnorm,
)


class Euclidean:
    """Flat space with the interface of `PoincareBall`.

    Points, tangent vectors and translations are all the same thing here, so that
    every algorithm written for the ball runs in flat space unchanged. `dist` is the
    plain ``|x - y|``: half of what the ball's `dist` tends to, which is why losses
    and scores on the ball use half distances.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.manifolds import Euclidean
    >>> float(Euclidean().dist(np.array([0.0, 3.0]), np.array([4.0, 0.0])))
    5.0
    """

    c = 0.0

    def __repr__(self) -> str:
        """Return the constructor call."""
        return "Euclidean()"

    def gap(self, x: Array) -> Array:
        """Return ones, shape (..., 1): the limit of ``1 - c |x|^2``."""
        xp, x = as_arrays(x)
        return xp.ones_like(x[..., :1])

    def project(self, x: Array) -> Array:
        """Return `x`."""
        return as_arrays(x)[1]

    def sq_chord(self, x: Array, y: Array) -> Array:
        """Squared distance ``|x - y|^2``, shape (...)."""
        xp, x, y = as_arrays(x, y)
        return sqnorm(xp, x - y)[..., 0]

    def sq_half_dist(self, x: Array, y: Array) -> Array:
        """Squared distance: the limit of ``(d / 2)^2`` on the ball."""
        return self.sq_chord(x, y)

    def dist(self, x: Array, y: Array) -> Array:
        """Distance ``|x - y|``, shape (...)."""
        xp, x, y = as_arrays(x, y)
        return norm(xp, x - y)[..., 0]

    def pairwise_dist(self, X: Array, Y: Array) -> Array:
        """Distance of every pair, (..., n, m), from real differences."""
        _, X, Y = as_arrays(X, Y)
        if is_numpy(X) and X.ndim == Y.ndim == 2:
            from scipy.spatial.distance import cdist

            return cdist(X, Y).astype(X.dtype, copy=False)
        return self.dist(X[..., :, None, :], Y[..., None, :, :])

    def add(self, x: Array, y: Array) -> Array:
        """Return ``x + y``."""
        _, x, y = as_arrays(x, y)
        return x + y

    def _add_known(
        self,
        x: Array,
        y: Array,
        gap_x: Array,
        square_y: Array,
        out: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return ``x + y`` of NumPy arrays, and its squared length."""
        s = np.add(x, y, out=out)
        return s, sqnorm(np, s)

    def expmap0(self, v: Array) -> Array:
        """Return `v`."""
        return as_arrays(v)[1]

    def logmap0(self, x: Array) -> Array:
        """Return `x`."""
        return as_arrays(x)[1]

    def expmap(self, x: Array, v: Array) -> Array:
        """Return ``x + v``."""
        return self.add(x, v)

    def logmap(self, x: Array, y: Array) -> Array:
        """Return ``y - x``."""
        _, x, y = as_arrays(x, y)
        return y - x

    def gyration(self, x: Array, y: Array, v: Array) -> Array:
        """Return `v`: flat translations commute."""
        _, x, y, v = as_arrays(x, y, v)
        return v + 0.0 * (x + y)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Return `v`."""
        return self.gyration(x, y, v)

    def midpoint(self, X: Array, sample_weight: Array | None = None) -> Array:
        """Weighted mean over the second last axis of `X`."""
        xp, X = as_arrays(X)
        weights = column_weights(xp, X, sample_weight)
        return xp.sum(weights * X, axis=-2)

    def centroid_from_sums(self, space: Array, time: Array) -> Array:
        """Return the means from weighted sums of ``x`` and of ``1 / 2``."""
        _, space, time = as_arrays(space, time)
        return space / (2.0 * time)

    def frechet_mean(
        self,
        X: Array,
        sample_weight: Array | None = None,
        *,
        tol: float | None = None,
        max_iter: int = 50,
    ) -> Array:
        """Weighted mean: in flat space the two means agree, and no step is needed."""
        return self.midpoint(X, sample_weight)

    def nearest(self, X: Array, codes: Array) -> Array:
        """Index of the nearest code for every point, ties to the lowest index."""
        xp, X, codes = as_arrays(X, codes)
        return nearest_code(xp, X, codes, self.gap)

    def check_points(self, X: Array, name: str = "X") -> None:
        """Accept every row: all of flat space is inside."""
