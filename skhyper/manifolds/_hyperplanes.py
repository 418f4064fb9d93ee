"""Hyperplanes of the Poincare ball: signed distances, and the logits made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skhyper.manifolds._ops import as_arrays, is_numpy


def hyperplane_logits(
    manifold: Any, x: Any, normals: Any, offsets: Any, gains: Any
) -> Any:
    """Return gains times signed half distances of points to hyperplanes.

    The hyperplane of a unit vector ``a`` and an offset ``r`` goes through
    ``expmap0(r a)`` at a right angle to ``a``: the unidirectional form of Poincare
    multinomial logistic regression (Shimizu et al. 2021, Eq. 6, whose logits are four
    times these). In flat space, and as the curvature falls to 0, a logit is
    ``g (<x, a> - r)``.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        The space.
    x : array or tensor of shape (..., n, n_dims)
        Points.
    normals : array or tensor of shape (n_planes, n_dims)
        Unit vectors. A shorter one is the part within the space of a unit vector that
        has a further component, along a dimension in which all points are 0.
    offsets, gains : array or tensor of shape (n_planes,)
        Signed tangent length of each plane's point nearest the origin, and its factor.
        Offsets may be as large as floats can be.

    Returns
    -------
    logits : array or tensor of shape (..., n, n_planes)
        On NumPy arrays, a pure function of each row.
    """
    xp, x, normals, offsets, gains = as_arrays(x, normals, offsets, gains)
    along = _products(x, normals)
    if manifold.c == 0:
        return gains * (along - offsets)
    unit = 2.0 * manifold.c**0.5
    gap = manifold.gap(x)
    space, time = unit * along / gap, (2.0 - gap) / gap
    turn = unit * offsets
    limit = turn_limit(xp, turn)
    near = xp.clip(turn, -limit, limit)
    sine = space * xp.cosh(near) - time * xp.sinh(near)
    return gains / unit * (xp.asinh(sine) - (turn - near))


def turn_limit(xp: Any, turn: Any) -> float:
    """Return how many radii of curvature away a plane's distance is linear in that.

    Seen from any point with a representable ``1 - c |x|^2 >= eps``, at the distance
    ``1.6 log(1 / eps)`` the exponential in the hyperbolic sine is all that is left of
    it, and squares of the sine still fit the dtype.
    """
    return -1.6 * math.log(float(xp.finfo(turn.dtype).eps))


def _products(x: Any, normals: Any) -> Any:
    """Return ``x @ normals.T``."""
    if is_numpy(x):
        # how BLAS rounds a row depends on the number of rows
        return np.einsum("...nd,kd->...nk", x, normals)
    return x @ normals.T
