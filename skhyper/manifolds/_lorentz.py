"""The Lorentz (hyperboloid) model, whose coordinates tell far radii apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhyper.manifolds._ops import (
    Array,
    as_arrays,
    asinhc,
    check_curvature,
    column_weights,
    direction,
    dot,
    norm,
    sinhc,
    sqnorm,
)


class Lorentz:
    """Upper sheet ``<X, X> = -1 / c`` with ``<X, Y> = -X_0 Y_0 + sum_i X_i Y_i``.

    Points have shape (..., n_features + 1), the time coordinate first; tangent
    vectors at the origin have shape (..., n_features). The methods take NumPy arrays
    or torch tensors and give back the same kind.

    Parameters
    ----------
    c : float, default=1.0
        Minus the sectional curvature.

    Raises
    ------
    ValueError
        If `c` is not a finite number above 0.

    Notes
    -----
    Radii keep their digits as long as the squared coordinates do not overflow (about
    44 radii of curvature in float32, 355 in float64); directions are held to the
    resolution of the dtype, which at radius R is a length of ``eps sinh(R)``.

    ``Lorentz(c).expmap0(2 * v)`` is the same point as ``PoincareBall(c).expmap0(v)``:
    here a tangent vector is as long as its geodesic.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.manifolds import Lorentz
    >>> sheet = Lorentz(c=1.0)
    >>> x, y = sheet.expmap0(np.array([[20.0, 0.0], [23.0, 0.0]]))
    >>> round(float(sheet.dist(x, y)), 9)
    3.0
    """

    def __init__(self, c: float = 1.0) -> None:
        self.c = check_curvature(c)

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f"Lorentz(c={self.c:g})"

    def project(self, x: Array) -> Array:
        """Return `x` with its time coordinate recomputed from the others.

        Parameters
        ----------
        x : array of shape (..., n_features + 1)
            Points near the sheet.

        Returns
        -------
        array of shape (..., n_features + 1)
            Points on it.
        """
        xp, x = as_arrays(x)
        return self._lift(xp, x[..., 1:])

    def _lift(self, xp: Any, space: Array) -> Array:
        time = xp.sqrt(1.0 / self.c + sqnorm(xp, space))
        return xp.concat([time, space], axis=-1)

    def expmap0(self, v: Array) -> Array:
        """Point reached from the origin ``(1 / sqrt(c), 0)`` along `v`.

        Parameters
        ----------
        v : array of shape (..., n_features)
            Tangent vectors at the origin.

        Returns
        -------
        array of shape (..., n_features + 1)
            At distance ``|v|``.
        """
        xp, v = as_arrays(v)
        return self._lift(xp, v * sinhc(xp, self.c * sqnorm(xp, v)))

    def logmap0(self, x: Array) -> Array:
        """Tangent vector at the origin that points to `x`: the inverse of `expmap0`.

        Parameters
        ----------
        x : array of shape (..., n_features + 1)
            Points.

        Returns
        -------
        array of shape (..., n_features)
            From the space coordinates alone, which keep their digits at any radius.
        """
        xp, x = as_arrays(x)
        space = x[..., 1:]
        return space * asinhc(xp, self.c * sqnorm(xp, space))

    def dist(self, x: Array, y: Array) -> Array:
        """Geodesic distance.

        Parameters
        ----------
        x, y : array of shape (..., n_features + 1)
            Points.

        Returns
        -------
        array of shape (...)
            Where both points lie far out the polar law ``sinh^2(d/2) = sinh^2((a -
            b)/2) + sinh(a) sinh(b) |u - v|^2 / 4`` of radii and directions is used,
            elsewhere the chord in ball coordinates; neither cancels.
        """
        xp, x, y = as_arrays(x, y)
        x, y = self.c**0.5 * x, self.c**0.5 * y
        p, q = norm(xp, x[..., 1:]), norm(xp, y[..., 1:])
        far = (p > 1.0) & (q > 1.0)
        sinh2 = xp.where(far, self._polar(xp, x, y, p, q, far), self._chord(xp, x, y))
        # asinh(sqrt(t)) with a finite gradient at t = 0, where dist has none
        zero = sinh2 <= 0.0
        root = xp.sqrt(xp.where(zero, xp.ones_like(sinh2), sinh2))
        root = xp.where(zero, xp.zeros_like(root), root)
        return (2.0 / self.c**0.5) * xp.asinh(root)[..., 0]

    @staticmethod
    def _chord(xp: Any, x: Array, y: Array) -> Array:
        one_x, one_y = 1.0 + x[..., :1], 1.0 + y[..., :1]
        difference = x[..., 1:] / one_x - y[..., 1:] / one_y
        return 0.25 * one_x * one_y * sqnorm(xp, difference)

    @staticmethod
    def _polar(xp: Any, x: Array, y: Array, p: Array, q: Array, far: Array) -> Array:
        p, q = (xp.where(far, n, xp.ones_like(n)) for n in (p, q))
        radial = xp.sinh(0.5 * (xp.asinh(p) - xp.asinh(q)))
        angular = sqnorm(xp, x[..., 1:] / p - y[..., 1:] / q)
        return radial * radial + 0.25 * p * q * angular

    def pairwise_dist(self, X: Array, Y: Array) -> Array:
        """Geodesic distance of every pair.

        Parameters
        ----------
        X : array of shape (..., n, n_features + 1)
            Points.
        Y : array of shape (..., m, n_features + 1)
            Points.

        Returns
        -------
        array of shape (..., n, m)
            The distances.
        """
        _, X, Y = as_arrays(X, Y)
        return self.dist(X[..., :, None, :], Y[..., None, :, :])

    def midpoint(self, X: Array, sample_weight: Array | None = None) -> Array:
        """Weighted centroid: the sum of the vectors, brought back to the sheet.

        Parameters
        ----------
        X : array of shape (..., n_points, n_features + 1)
            Points.
        sample_weight : array of shape (..., n_points), default=None
            Weights, at least 0, with a positive sum. None means equal weights.

        Returns
        -------
        array of shape (..., n_features + 1)
            The same point as `PoincareBall.midpoint` of the projected points.
        """
        xp, X = as_arrays(X)
        weights = column_weights(xp, X, sample_weight)
        time, space = X[..., :1], X[..., 1:]
        total = xp.sum(weights * space, axis=-2, keepdims=True)
        # Along the direction u of the sum, its squared Minkowski length is the product
        # of time + space and time - space. The smaller of the two would cancel for
        # every point, so it is taken from their product, 1 / c + |across|^2.
        u = direction(xp, total)
        along = dot(xp, space, u)
        large = time + xp.abs(along)
        small = (1.0 / self.c + sqnorm(xp, space - along * u)) / large
        ahead = along > 0.0
        plus = xp.sum(weights * xp.where(ahead, large, small), axis=-2)
        minus = xp.sum(weights * xp.where(ahead, small, large), axis=-2)
        length = xp.sqrt(self.c * plus) * xp.sqrt(minus)
        return self._lift(xp, total[..., 0, :] / length)

    def check_points(self, X: Array, name: str = "X", *, rtol: float = 1e-3) -> None:
        """Raise a ValueError unless every row of `X` lies on the upper sheet.

        Parameters
        ----------
        X : array of shape (n, n_features + 1)
            Points to check.
        name : str, default="X"
            What the message calls them.
        rtol : float, default=1e-3
            How far the time coordinate may be from its value, relatively. Generous,
            since float32 coordinates carry an error that grows with the radius.

        Raises
        ------
        ValueError
            With the first offending row.
        """
        X = np.asarray(X)
        time = np.sqrt(1.0 / self.c + np.sum(X[:, 1:] ** 2, axis=1))
        off = np.flatnonzero(~(np.abs(X[:, 0] - time) <= rtol * time))
        if off.size:
            first = int(off[0])
            raise ValueError(
                f"{name} has {off.size} of {X.shape[0]} points off the sheet "
                f"<x, x> = -1/{self.c:g}: row {first} has time coordinate "
                f"{X[first, 0]:.6g}, its space coordinates ask for "
                f"{time[first]:.6g}. Put the time coordinate first, check the "
                "curvature, or repair the rows with Lorentz(c).project(X)."
            )
