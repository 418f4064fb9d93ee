"""Newton's step towards the Frechet mean of points in the ball."""

from __future__ import annotations

from typing import Any

from array_api_compat import device

from skhyper.manifolds._ops import (
    Array,
    as_arrays,
    asinhc,
    direction,
    norm,
)


def newton_step(ball: Any, mean: Array, X: Array, weights: Array) -> Array:
    """Return a damped step towards the mean, as a tangent vector at the origin.

    Parameters
    ----------
    ball : PoincareBall
        Where the points live.
    mean : array of shape (..., 1, n_features)
        The estimate so far.
    X : array of shape (..., n_points, n_features)
        Points.
    weights : array of shape (..., n_points, 1)
        Their weights, of sum 1.

    Returns
    -------
    array of shape (..., 1, n_features)
        The step to take from `mean` once that is moved to the origin.
    """
    xp, mean, X, weights = as_arrays(mean, X, weights)
    logs = ball.logmap(mean, X) / ball.gap(mean)
    # half the squared distance has curvature 1 along the geodesic, d coth d across
    q = ball.c * ball.sq_chord(mean, X)[..., None]
    across = asinhc(xp, q) * (1.0 + 2.0 * q) / xp.sqrt(1.0 + q)
    u = direction(xp, logs)
    identity = xp.eye(X.shape[-1], dtype=X.dtype, device=device(X))
    total = xp.sum(weights * across, axis=-2, keepdims=True)
    hessian = total * identity - (weights * (across - 1.0) * u).mT @ u
    gradient = xp.sum(weights * logs, axis=-2, keepdims=True)
    step = xp.linalg.solve(hessian, gradient.mT).mT
    size = 4.0 * ball.c**0.5 * norm(xp, step)
    moves = size > 0.0
    size = xp.where(moves, size, xp.ones_like(size))
    return step * xp.where(moves, xp.log1p(size) / size, xp.ones_like(size))
