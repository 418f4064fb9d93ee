"""Changes of model: Poincare ball, Lorentz sheet, Klein ball."""

from __future__ import annotations

from skhyper.manifolds._ops import Array, as_arrays, check_curvature, sqnorm
from skhyper.manifolds._poincare import PoincareBall


def poincare_to_lorentz(x: Array, c: float = 1.0) -> Array:
    """Lift points of the Poincare ball to the sheet ``<X, X> = -1 / c``.

    Parameters
    ----------
    x : array of shape (..., n_features)
        Points of the ball of curvature ``-c``.
    c : float, default=1.0
        Minus the sectional curvature.

    Returns
    -------
    array of shape (..., n_features + 1)
        Time coordinate first. It is recomputed from the others, so that the
        constraint holds to the last digits.

    Examples
    --------
    >>> from skhyper.manifolds import poincare_to_lorentz
    >>> poincare_to_lorentz([0.5, 0.0]).round(4)
    array([1.6667, 1.3333, 0.    ])
    """
    ball = PoincareBall(c)
    xp, x = as_arrays(x)
    space = 2.0 * x / ball.gap(x)
    return xp.concat([xp.sqrt(1.0 / c + sqnorm(xp, space)), space], axis=-1)


def lorentz_to_poincare(x: Array, c: float = 1.0) -> Array:
    """Project points of the sheet ``<X, X> = -1 / c`` to the Poincare ball.

    Parameters
    ----------
    x : array of shape (..., n_features + 1)
        Points, time coordinate first.
    c : float, default=1.0
        Minus the sectional curvature.

    Returns
    -------
    array of shape (..., n_features)
        Stereographic projection from ``(-1 / sqrt(c), 0)``.

    Examples
    --------
    >>> from skhyper.manifolds import lorentz_to_poincare
    >>> lorentz_to_poincare([5 / 3, 4 / 3, 0.0]).round(4)
    array([0.5, 0. ])
    """
    ball = PoincareBall(c)
    _, x = as_arrays(x)
    return ball.project(x[..., 1:] / (1.0 + c**0.5 * x[..., :1]))


def poincare_to_klein(x: Array, c: float = 1.0) -> Array:
    """Map points of the Poincare ball to the Klein ball, where geodesics are straight.

    Parameters
    ----------
    x : array of shape (..., n_features)
        Points of the ball of curvature ``-c``.
    c : float, default=1.0
        Minus the sectional curvature.

    Returns
    -------
    array of shape (..., n_features)
        ``2 x / (1 + c |x|^2)``.

    Examples
    --------
    >>> from skhyper.manifolds import poincare_to_klein
    >>> poincare_to_klein([0.5, 0.0])
    array([0.8, 0. ])
    """
    c = check_curvature(c)
    xp, x = as_arrays(x)
    return 2.0 * x / (1.0 + c * sqnorm(xp, x))


def klein_to_poincare(x: Array, c: float = 1.0) -> Array:
    """Map points of the Klein ball to the Poincare ball.

    Parameters
    ----------
    x : array of shape (..., n_features)
        Points of the Klein ball of radius ``1 / sqrt(c)``.
    c : float, default=1.0
        Minus the sectional curvature.

    Returns
    -------
    array of shape (..., n_features)
        ``x / (1 + sqrt(1 - c |x|^2))``.

    Examples
    --------
    >>> from skhyper.manifolds import klein_to_poincare
    >>> klein_to_poincare([0.8, 0.0])
    array([0.5, 0. ])
    """
    ball = PoincareBall(c)
    xp, x = as_arrays(x)
    return x / (1.0 + xp.sqrt(ball.gap(x)))
