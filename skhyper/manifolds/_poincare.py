"""The Poincare ball, in formulas without cancelling terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhyper.manifolds._frechet import newton_step
from skhyper.manifolds._nearest import nearest_code
from skhyper.manifolds._ops import (
    Array,
    as_arrays,
    asinhc,
    atanhc,
    check_curvature,
    column_weights,
    direction,
    dot,
    floor,
    is_numpy,
    norm,
    sqnorm,
    tanhc,
)


class PoincareBall:
    """Poincare ball of sectional curvature ``-c``: the points with ``c |x|^2 < 1``.

    Every method takes NumPy arrays or torch tensors of shape (..., n_features),
    broadcasts over the leading axes, and gives back the kind and dtype it was
    given. All of them are differentiable, also where points coincide and at 0.

    Parameters
    ----------
    c : float, default=1.0
        Minus the sectional curvature; the ball has radius ``1 / sqrt(c)``.

    Raises
    ------
    ValueError
        If `c` is not a finite number above 0.

    Notes
    -----
    Distances follow the metric with conformal factor ``2 / (1 - c |x|^2)``, so
    ``dist(x, y)`` tends to ``2 |x - y|`` as `c` falls to 0, and tangent vectors at
    the origin have half the length of the geodesic they stand for: ``|v| =
    dist(0, expmap0(v)) / 2``. Float64 coordinates carry hyperbolic radii up to
    about 36 radii of curvature, float32 coordinates up to 16. The formulas are those
    of Ganea et al. (2018) [1]_, rearranged so that nothing cancels near the rim.

    References
    ----------
    .. [1] O. Ganea, G. Becigneul, T. Hofmann, "Hyperbolic Neural Networks",
       NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.manifolds import PoincareBall
    >>> ball = PoincareBall(c=1.0)
    >>> x = ball.expmap0(np.array([0.5, 0.0]))
    >>> round(float(ball.dist(np.zeros(2), x)), 6)
    1.0
    >>> ball.add(-x, x)
    array([0., 0.])
    """

    def __init__(self, c: float = 1.0) -> None:
        self.c = check_curvature(c)

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f"PoincareBall(c={self.c:g})"

    def gap(self, x: Array) -> Array:
        """Return ``1 - c |x|^2``, shape (..., 1): two over the conformal factor.

        Parameters
        ----------
        x : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (..., 1)
            Positive also for points that rounding has put on the rim.
        """
        xp, x = as_arrays(x)
        return floor(xp, 1.0 - self.c * sqnorm(xp, x), float(xp.finfo(x.dtype).eps))

    def project(self, x: Array) -> Array:
        """Return `x` with points on or outside the rim scaled back just inside it.

        Parameters
        ----------
        x : array of shape (..., n_features)
            Points; those inside the ball come back bit for bit.

        Returns
        -------
        array of shape (..., n_features)
            Scaled radially to ``(1 - 3 eps) / sqrt(c)``: a guard for the last ulp,
            far enough inside that the rounding of the result stays inside too.
        """
        xp, x = as_arrays(x)
        eps = float(xp.finfo(x.dtype).eps)
        t = self.c * sqnorm(xp, x)
        outside = t > (1.0 - eps) ** 2
        if is_numpy(x) and not outside.any():
            return x
        root = xp.sqrt(xp.where(outside, t, xp.ones_like(t)))
        return x * xp.where(outside, (1.0 - 3.0 * eps) / root, xp.ones_like(t))

    def sq_chord(self, x: Array, y: Array) -> Array:
        """Return ``|x - y|^2 / (A_x A_y)`` with ``A = 1 - c |.|^2``, shape (...).

        It equals ``(cosh(sqrt(c) d) - 1) / (2 c)``, a quarter of the squared chord
        in the Lorentz model, and tends to ``|x - y|^2`` as `c` falls to 0.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (...)
            The quantity that `midpoint` and k-means minimise.
        """
        xp, x, y = as_arrays(x, y)
        return (sqnorm(xp, x - y) / (self.gap(x) * self.gap(y)))[..., 0]

    def sq_half_dist(self, x: Array, y: Array) -> Array:
        """Return ``(dist(x, y) / 2)^2``, smooth where the points coincide.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (...)
            Tends to ``|x - y|^2`` as `c` falls to 0: the form used in losses.
        """
        xp, x, y = as_arrays(x, y)
        chord = self.sq_chord(x, y)
        return chord * asinhc(xp, self.c * chord) ** 2

    def dist(self, x: Array, y: Array) -> Array:
        """Geodesic distance.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (...)
            ``(2 / sqrt(c)) asinh(sqrt(c) |x - y| / sqrt(A_x A_y))``. Its gradient at
            coincident points is 0.
        """
        xp, x, y = as_arrays(x, y)
        s = self.c**0.5
        ratio = s * norm(xp, x - y) / xp.sqrt(self.gap(x) * self.gap(y))
        return (2.0 / s) * xp.asinh(ratio)[..., 0]

    def pairwise_dist(self, X: Array, Y: Array) -> Array:
        """Geodesic distance of every pair.

        Parameters
        ----------
        X : array of shape (..., n, n_features)
            Points.
        Y : array of shape (..., m, n_features)
            Points.

        Returns
        -------
        array of shape (..., n, m)
            Exact differences are taken, not a matrix product, so that close points
            keep their digits.
        """
        _, X, Y = as_arrays(X, Y)
        if is_numpy(X) and X.ndim == Y.ndim == 2:
            return self._pairwise_numpy(X, Y)
        return self.dist(X[..., :, None, :], Y[..., None, :, :])

    def _pairwise_numpy(self, X: Array, Y: Array) -> Array:
        # scipy takes real differences too, and needs no (n, m, n_features) array
        from scipy.spatial.distance import cdist

        s = self.c**0.5
        ratio = s * cdist(X, Y) / np.sqrt(self.gap(X) * self.gap(Y).T)
        return ((2.0 / s) * np.arcsinh(ratio)).astype(X.dtype, copy=False)

    def add(self, x: Array, y: Array) -> Array:
        """Moebius addition ``x (+) y``: `y` moved by the translation that takes 0 to x.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (..., n_features)
            ``(A_x s + c |s|^2 x) / (c |s|^2 + A_x A_y)`` with ``s = x + y``: no
            terms cancel, so that a small difference ``(-x) (+) y`` keeps its digits.
        """
        xp, x, y = as_arrays(x, y)
        return self.project(self._sum(xp, x + y, x, self.gap(x), self.gap(y)))

    def _sum(
        self,
        xp: Any,
        s: Array,
        x: Array,
        gap_x: Array,
        gap_y: Array,
        spare: Array | None = None,
    ) -> Array:
        """Return ``x (+) y``, not projected, from ``s = x + y``; overwrites a NumPy s.

        `spare` is an array of the shape of `s` to overwrite besides; `x` if need be.
        """
        cs2 = self.c * sqnorm(xp, s)
        total = cs2 + gap_x * gap_y
        if is_numpy(s):
            s *= gap_x / total
            s += np.multiply(cs2 / total, x, out=spare)
            return s
        return (gap_x / total) * s + (cs2 / total) * x

    def _add_known(
        self,
        x: Array,
        y: Array,
        gap_x: Array,
        square_y: Array,
        out: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return the same ``add(x, y)`` and its squared length, given what is known.

        That is the gap of `x` and the squared length of `y`, NumPy columns: the step
        from one residual to the next. Overwrites `x`, and `out`, which may be `y`.
        """
        eps = float(np.finfo(y.dtype).eps)
        gap_y = np.maximum(1.0 - self.c * square_y, eps)
        s = self._sum(np, np.add(x, y, out=out), x, gap_x, gap_y, spare=x)
        square = sqnorm(np, s)
        if self.c * square.max(initial=0.0) > (1.0 - eps) ** 2:
            s = self.project(s)
            square = sqnorm(np, s)
        return s, square

    def expmap0(self, v: Array) -> Array:
        """Point reached from the origin along `v`.

        Parameters
        ----------
        v : array of shape (..., n_features)
            Tangent vectors at the origin.

        Returns
        -------
        array of shape (..., n_features)
            ``tanh(sqrt(c) |v|) v / (sqrt(c) |v|)``, at distance ``2 |v|``.
        """
        xp, v = as_arrays(v)
        t = self.c * sqnorm(xp, v)
        x = v * tanhc(xp, t)
        # tanh(5) is so far from 1 that no rounding takes it there
        return x if is_numpy(t) and t.max(initial=0.0) < 25.0 else self.project(x)

    def logmap0(self, x: Array) -> Array:
        """Tangent vector at the origin that points to `x`: the inverse of `expmap0`.

        Parameters
        ----------
        x : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (..., n_features)
            ``atanh(sqrt(c) |x|) x / (sqrt(c) |x|)``.
        """
        xp, x = as_arrays(x)
        return x * atanhc(xp, self.c * sqnorm(xp, x))

    def expmap(self, x: Array, v: Array) -> Array:
        """Point reached from `x` along the tangent vector `v`.

        Parameters
        ----------
        x : array of shape (..., n_features)
            Points.
        v : array of shape (..., n_features)
            Tangent vectors at `x`, in ball coordinates.

        Returns
        -------
        array of shape (..., n_features)
            The end points.
        """
        _, x, v = as_arrays(x, v)
        return self.add(x, self.expmap0(v / self.gap(x)))

    def logmap(self, x: Array, y: Array) -> Array:
        """Tangent vector at `x` that points to `y`: the inverse of `expmap`.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.

        Returns
        -------
        array of shape (..., n_features)
            In ball coordinates; its length times ``2 / A_x`` is ``dist(x, y)``.
        """
        xp, x, y = as_arrays(x, y)
        # atanhc of the difference, by way of the chord, which does not saturate
        q = self.c * self.sq_chord(x, y)[..., None]
        return self.gap(x) * asinhc(xp, q) * xp.sqrt(1.0 + q) * self.add(-x, y)

    def gyration(self, x: Array, y: Array, v: Array) -> Array:
        """Rotation ``gyr[x, y] v`` by which Moebius addition fails to associate.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.
        v : array of shape (..., n_features)
            Vectors (or points) to rotate.

        Returns
        -------
        array of shape (..., n_features)
            With ``s = x + y``, ``v + (2 c / D) ((A_y <s, v> + c |s|^2 <y, v>) x -
            (<s, v> - A_x <y, v>) s)``, ``D = c |s|^2 + A_x A_y``: the usual closed
            form rearranged so that nothing cancels for ``y`` near ``-x``.
        """
        xp, x, y, v = as_arrays(x, y, v)
        s = x + y
        sv, yv, cs2 = dot(xp, s, v), dot(xp, y, v), self.c * sqnorm(xp, s)
        gap_x, gap_y = self.gap(x), self.gap(y)
        along_x = gap_y * sv + cs2 * yv
        along_s = sv - gap_x * yv
        scale = 2.0 * self.c / (cs2 + gap_x * gap_y)
        return v + scale * (along_x * x - along_s * s)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Parallel transport of the tangent vector `v` from `x` to `y`.

        Parameters
        ----------
        x, y : array of shape (..., n_features)
            Points.
        v : array of shape (..., n_features)
            Tangent vectors at `x`, in ball coordinates.

        Returns
        -------
        array of shape (..., n_features)
            Tangent vectors at `y`, along the geodesic.
        """
        _, x, y, v = as_arrays(x, y, v)
        return (self.gap(y) / self.gap(x)) * self.gyration(y, -x, v)

    def midpoint(self, X: Array, sample_weight: Array | None = None) -> Array:
        """Weighted gyromidpoint: the centroid of the Lorentz model, in closed form.

        Parameters
        ----------
        X : array of shape (..., n_points, n_features)
            Points.
        sample_weight : array of shape (..., n_points), default=None
            Weights, at least 0, with a positive sum. None means equal weights.

        Returns
        -------
        array of shape (..., n_features)
            The minimiser of the weighted sum of ``cosh(sqrt(c) d) - 1``; in flat
            space it is the mean.
        """
        xp, X = as_arrays(X)
        return self._centroid(xp, X, column_weights(xp, X, sample_weight))

    def _centroid(self, xp: Any, X: Array, weights: Array) -> Array:
        lifted = weights / self.gap(X)
        space = xp.sum(lifted * X, axis=-2, keepdims=True)
        # Along the direction u of the sum, its squared Minkowski length is the product
        # of time + space and time - space: sums of lifted |u + x|^2 / 2 and of lifted
        # |u - x|^2 / 2, in which nothing cancels, however far out the points lie.
        u, x = direction(xp, space), self.c**0.5 * X
        tiny = float(xp.finfo(X.dtype).tiny)
        plus, minus = (
            floor(xp, 0.5 * xp.sum(lifted * sqnorm(xp, a), axis=-2), tiny)
            for a in (u + x, u - x)
        )
        time, length = 0.5 * (plus + minus), xp.sqrt(plus) * xp.sqrt(minus)
        return self.project(space[..., 0, :] / (time + length))

    def centroid_from_sums(self, space: Array, time: Array) -> Array:
        """Return the gyromidpoint from Lorentz sums, the statistic of k-means.

        Parameters
        ----------
        space : array of shape (..., n_features)
            Weighted sum of ``x / A_x``.
        time : array of shape (..., 1)
            Weighted sum of ``1 / A_x - 1 / 2``.

        Returns
        -------
        array of shape (..., n_features)
            The centroids.
        """
        xp, space, time = as_arrays(space, time)
        lowest = float(xp.finfo(space.dtype).tiny)
        length = xp.sqrt(floor(xp, time * time - self.c * sqnorm(xp, space), lowest))
        return self.project(space / (time + length))

    def frechet_mean(
        self,
        X: Array,
        sample_weight: Array | None = None,
        *,
        tol: float | None = None,
        max_iter: int = 50,
    ) -> Array:
        """Weighted Frechet mean, the minimiser of the sum of squared distances.

        Parameters
        ----------
        X : array of shape (..., n_points, n_features)
            Points.
        sample_weight : array of shape (..., n_points), default=None
            Weights, at least 0, with a positive sum. None means equal weights.
        tol : float, default=None
            Stop after a step shorter than `tol` radii of curvature. None means the
            square root of the resolution of the dtype: near the mean an error is
            squared by every step, so that this step has reached the resolution.
        max_iter : int, default=50
            The most steps to take. Ten are enough for points out to 8 radii of
            curvature, and 15 out to 16.

        Returns
        -------
        array of shape (..., n_features)
            The mean. Newton's steps, shortened so that they lower the objective from
            any start [1]_: its third derivative along a geodesic is at most twice the
            second, for lengths in radii of curvature.

        References
        ----------
        .. [1] T. Sun, Q. Tran-Dinh, "Generalized self-concordant functions: a recipe
           for Newton-type methods", Mathematical Programming 178, 2019.
        """
        xp, X = as_arrays(X)
        weights = column_weights(xp, X, sample_weight)
        if tol is None:
            tol = float(xp.finfo(X.dtype).eps) ** 0.5
        mean = self.midpoint(X, sample_weight)[..., None, :]
        for _ in range(max_iter):
            step = newton_step(self, mean, X, weights)
            mean = self.add(mean, self.expmap0(step))
            if bool(xp.max(4.0 * self.c * sqnorm(xp, step)) <= tol * tol):
                break
        return mean[..., 0, :]

    def nearest(self, X: Array, codes: Array) -> Array:
        """Index of the nearest code for every point.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Points.
        codes : array of shape (n_codes, n_features)
            Points.

        Returns
        -------
        int64 array of shape (n,)
            ``argmin_k |x - c_k|^2 / A_{c_k}``, ties to the lowest index. On NumPy
            arrays near ties are settled by real differences in float64, so that
            the result does not depend on how a matrix product rounds.
        """
        xp, X, codes = as_arrays(X, codes)
        return nearest_code(xp, X, codes, self.gap)

    def check_points(self, X: Array, name: str = "X") -> None:
        """Raise a ValueError unless every row of `X` lies inside the ball.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Points to check.
        name : str, default="X"
            What the message calls them.

        Raises
        ------
        ValueError
            With the first offending row, its norm and the radius of the ball.
        """
        xp, X = as_arrays(X)
        outside = np.flatnonzero(~np.asarray(self.c * sqnorm(xp, X) < 1.0))
        if outside.size:
            first = int(outside[0])
            length = norm(xp, X)[first, 0].item()
            raise ValueError(
                f"{name} has {outside.size} of {X.shape[0]} points outside the "
                f"Poincare ball of curvature {self.c:g}: row {first} has norm "
                f"{length:.6g}, the radius is {1.0 / self.c**0.5:.6g}. Give "
                "Euclidean features with input_geometry='tangent', or a smaller "
                "curvature."
            )
