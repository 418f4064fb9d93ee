"""Array helpers shared by the manifolds: one spelling for NumPy and torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_array_api_obj,
    is_numpy_array,
)

# An array of either kind. Both libraries type their arrays too differently for a
# common static type; every function gives back the kind it was given.
Array = Any

# Below this squared argument the odd functions divided by their argument are summed
# as a Taylor series: at 0 the quotient is 0/0, and its autograd derivative nan.
SERIES_BELOW = 1e-4

# np.sum adds in pairs above this length, and is then the more accurate
PAIRWISE_ABOVE = 128

_TANHC = (1.0, -1 / 3, 2 / 15, -17 / 315, 62 / 2835)
_ATANHC = (1.0, 1 / 3, 1 / 5, 1 / 7, 1 / 9)
_ASINHC = (1.0, -1 / 6, 3 / 40, -5 / 112, 35 / 1152)


def check_curvature(c: float) -> float:
    """Return `c` as a float, or raise a ValueError if it is not a curvature."""
    if not isinstance(c, Real) or not 0 < float(c) < np.inf:
        raise ValueError(
            f"curvature must be a finite number above 0, got {c!r}. The ball has "
            "sectional curvature -curvature; for flat space use Euclidean()."
        )
    return float(c)


def as_arrays(*arrays: Array) -> tuple[Any, ...]:
    """Return the namespace of `arrays`, then each of them as a floating array.

    Anything that is not an array already (a list, a number) becomes a NumPy array.
    """
    converted = [a if is_array_api_obj(a) else np.asarray(a) for a in arrays]
    xp = array_namespace(*converted)
    floats = [
        a if xp.isdtype(a.dtype, "real floating") else xp.astype(a, xp.float64)
        for a in converted
    ]
    return (xp, *floats)


def sqnorm(xp: Any, x: Array) -> Array:
    """Squared Euclidean norm over the last axis, which is kept with length 1."""
    return dot(xp, x, x)


def dot(xp: Any, x: Array, y: Array) -> Array:
    """Inner product over the last axis, which is kept with length 1."""
    if is_numpy(x) and x.shape[-1] <= PAIRWISE_ABOVE:
        # needs no array of products, and no further digit is lost
        return np.einsum("...i,...i->...", x, y)[..., None]
    return xp.sum(x * y, axis=-1, keepdims=True)


def norm(xp: Any, x: Array) -> Array:
    """Euclidean norm over the last axis (kept); its torch gradient at 0 is 0."""
    return xp.linalg.vector_norm(x, axis=-1, keepdims=True)


def floor(xp: Any, x: Array, lowest: float) -> Array:
    """Return `x`, with everything below `lowest` (nan too) replaced by it."""
    return xp.where(x > lowest, x, xp.full_like(x, lowest))


def _quotient(
    xp: Any, t: Array, function: Callable[[Array], Array], series: Sequence[float]
) -> Array:
    """Return ``function(sqrt(t)) / sqrt(t)``, smooth at ``t = 0``.

    Both branches see harmless arguments where the other one is chosen, so that
    neither a warning nor a nan gradient leaks out of the branch not taken.
    """
    small = t < SERIES_BELOW
    if is_numpy(t) and not small.any():
        root = np.sqrt(t)
        return function(root) / root
    root = xp.sqrt(xp.where(small, xp.full_like(t, 0.25), t))
    t_small = xp.where(small, t, xp.zeros_like(t))
    taylor = series[-1] * xp.ones_like(t)
    for coefficient in series[-2::-1]:
        taylor = taylor * t_small + coefficient
    return xp.where(small, taylor, function(root) / root)


def tanhc(xp: Any, t: Array) -> Array:
    """``tanh(sqrt(t)) / sqrt(t)``."""
    return _quotient(xp, t, xp.tanh, _TANHC)


def atanhc(xp: Any, t: Array) -> Array:
    """``atanh(sqrt(t)) / sqrt(t)``, with `t` kept an ulp below the pole at 1."""
    last = 1.0 - float(xp.finfo(t.dtype).eps)
    return _quotient(
        xp, xp.where(t < last, t, xp.full_like(t, last)), xp.atanh, _ATANHC
    )


def asinhc(xp: Any, t: Array) -> Array:
    """``asinh(sqrt(t)) / sqrt(t)``."""
    return _quotient(xp, t, xp.asinh, _ASINHC)


def sinhc(xp: Any, t: Array) -> Array:
    """``sinh(sqrt(t)) / sqrt(t)``."""
    return _quotient(xp, t, xp.sinh, (1.0, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880))


def direction(xp: Any, x: Array) -> Array:
    """Return `x` scaled to length 1 over the last axis; a fixed unit vector for 0."""
    length = norm(xp, x)
    zero = length <= 0.0
    anywhere = xp.full_like(x, x.shape[-1] ** -0.5)
    return xp.where(zero, anywhere, x / xp.where(zero, xp.ones_like(length), length))


def column_weights(xp: Any, X: Array, sample_weight: Array | None) -> Array:
    """Return `sample_weight`, equal if None, scaled to sum 1, as (..., n, 1)."""
    if sample_weight is None:
        return xp.full_like(X[..., :1], 1.0 / X.shape[-2])
    weights = sample_weight
    if not is_array_api_obj(weights) or is_numpy_array(weights):
        weights = xp.asarray(weights, device=device(X))
    weights = xp.astype(weights, X.dtype)
    if weights.shape[-1] != X.shape[-2]:
        raise ValueError(
            f"sample_weight has length {weights.shape[-1]}, but X has "
            f"{X.shape[-2]} points along its second last axis."
        )
    total = xp.sum(weights, axis=-1, keepdims=True)
    total = floor(xp, total, float(xp.finfo(X.dtype).tiny))
    return (weights / total)[..., None]


def is_numpy(x: Array) -> bool:
    """Whether `x` is a NumPy array."""
    return bool(is_numpy_array(x))
