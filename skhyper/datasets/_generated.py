"""Generators of samples whose hierarchy or geometry is known."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_random_state, check_scalar

from skhyper.manifolds import PoincareBall

# Beyond sqrt(c) |v| = 15, 1 - c |x|^2 keeps fewer than three digits in float64.
SATURATION = 15.0


def make_tree(
    n_samples: int = 1000,
    n_features: int = 16,
    *,
    branching: int = 4,
    depth: int = 3,
    decay: float = 0.5,
    noise: float = 0.1,
    random_state: int | RandomState | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Generate samples around the leaves of a tree, with their labels at every level.

    The tree is a diffusion: its root is the origin, and a child is its parent plus a
    Gaussian step that shrinks from level to level. A sample is a leaf plus noise.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of samples, spread over the leaves as evenly as they divide, in random
        order.
    n_features : int, default=16
        Number of features.
    branching : int, default=4
        Number of children of every node that is not a leaf.
    depth : int, default=3
        Number of levels below the root. There are ``branching ** depth`` leaves.
    decay : float, default=0.5
        Factor > 0 from the steps of one level to those of the next: steps to level
        l = 1, 2, ... have standard deviation ``decay ** (l - 1)`` in every feature.
    noise : float, default=0.1
        Standard deviation >= 0 of the samples about their leaf in every feature.
    random_state : int, RandomState instance or None, default=None
        Determines the tree and the samples. Pass an int for the same output at every
        call. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
        The samples.
    y : ndarray of shape (n_samples, depth), int64
        The node that each sample belongs to at each level, from coarse to fine.
        Column m has labels from 0 to ``branching ** (m + 1) - 1``, and the parent of
        label k is ``k // branching``.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    TypeError
        If a parameter is not a number of its kind.

    See Also
    --------
    make_hyperbolic_blobs : Clusters in the Poincare ball.
    load_naics : Real data with a tree.

    Examples
    --------
    >>> from skhyper.datasets import make_tree
    >>> X, y = make_tree(n_samples=6, branching=2, depth=2, random_state=0)
    >>> X.shape
    (6, 16)
    >>> y
    array([[1, 2],
           [0, 1],
           [1, 2],
           [1, 3],
           [0, 0],
           [1, 3]])
    """
    for name, count in (
        ("n_samples", n_samples),
        ("n_features", n_features),
        ("branching", branching),
        ("depth", depth),
    ):
        check_scalar(count, name, Integral, min_val=1)
    _check_real(decay, "decay", "neither")
    _check_real(noise, "noise")
    random = check_random_state(random_state)

    nodes = np.zeros((1, n_features))
    for level in range(depth):
        nodes = np.repeat(nodes, branching, axis=0)
        nodes += random.normal(scale=decay**level, size=nodes.shape)
    leaf = _spread(n_samples, len(nodes), random)
    X = nodes[leaf] + random.normal(scale=noise, size=(n_samples, n_features))
    return X, leaf[:, None] // branching ** np.arange(depth)[::-1]


def make_hyperbolic_blobs(
    n_samples: int = 100,
    n_features: int = 2,
    *,
    centers: int | ArrayLike = 3,
    cluster_std: float = 0.3,
    center_radius: float = 1.5,
    curvature: float = 1.0,
    coordinates: str = "ball",
    return_centers: bool = False,
    random_state: int | RandomState | None = None,
) -> tuple[Any, ...]:
    """Generate wrapped normal clusters in the Poincare ball.

    A sample is its center, moved along the geodesic of a Gaussian tangent vector: the
    wrapped normal distribution of [1]_. Lengths are half of the geodesic distance,
    so that a curvature near 0 gives Gaussian blobs in flat space.

    Parameters
    ----------
    n_samples : int, default=100
        Number of samples, spread over the clusters as evenly as they divide, in
        random order.
    n_features : int, default=2
        Number of features.
    centers : int or array-like of shape (n_centers, n_features), default=3
        Number of centers, drawn at `center_radius` in uniform directions, or the
        centers themselves in the given `coordinates`.
    cluster_std : float, default=0.3
        Standard deviation >= 0 of the tangent vectors in every feature, in half
        distances: in units of geodesic distance it is twice as large.
    center_radius : float, default=1.5
        Half of the geodesic distance from the origin to the drawn centers, >= 0.
    curvature : float, default=1.0
        The ball has sectional curvature ``-curvature`` and radius
        ``1 / sqrt(curvature)``.
    coordinates : {"ball", "tangent"}, default="ball"
        Give points in ball coordinates, or as tangent vectors at the origin, which
        are Euclidean features as estimators take them.
    return_centers : bool, default=False
        If True, return the centers too.
    random_state : int, RandomState instance or None, default=None
        Determines centers and samples. Pass an int for the same output at every
        call. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64
        The samples, in `coordinates`.
    y : ndarray of shape (n_samples,), int64
        The cluster of each sample.
    centers : ndarray of shape (n_centers, n_features), float64
        The centers, in `coordinates`. Only if `return_centers` is True.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or a given center outside the ball.
    TypeError
        If a parameter is not a number of its kind.

    Warns
    -----
    UserWarning
        If ``sqrt(curvature) |v|`` exceeds 15 for a sample's tangent vector v at the
        origin: so near the rim, ball coordinates in float64 run out of digits.

    See Also
    --------
    make_tree : Samples around the leaves of a tree.
    sklearn.datasets.make_blobs : Gaussian clusters in flat space.

    References
    ----------
    .. [1] Nagano, Y., Yamaguchi, S., Fujita, Y. and Koyama, M. (2019). A Wrapped
       Normal Distribution on Hyperbolic Space for Gradient-Based Learning. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.datasets import make_hyperbolic_blobs
    >>> X, y = make_hyperbolic_blobs(n_samples=6, random_state=0)
    >>> X.shape, y
    ((6, 2), array([2, 1, 0, 1, 0, 2]))
    >>> bool(np.all(np.linalg.norm(X, axis=1) < 1))
    True
    """
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(n_features, "n_features", Integral, min_val=1)
    _check_real(cluster_std, "cluster_std")
    _check_real(center_radius, "center_radius")
    if coordinates not in ("ball", "tangent"):
        raise ValueError(
            f"coordinates must be 'ball' or 'tangent', got {coordinates!r}."
        )
    ball = PoincareBall(curvature)
    random = check_random_state(random_state)

    if isinstance(centers, Integral):
        check_scalar(centers, "centers", Integral, min_val=1)
        direction = random.normal(size=(int(centers), n_features))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        middle = ball.expmap0(center_radius * direction)
    else:
        middle = _given_centers(centers, n_features, ball, coordinates)
    y = _spread(n_samples, len(middle), random)
    steps = random.normal(scale=cluster_std, size=(n_samples, n_features))
    # exp_p of a vector carried from 0 to p is the translation of exp_0 by p.
    X = ball.add(middle[y], ball.expmap0(steps))
    tangent = ball.logmap0(X)
    _warn_if_saturated(tangent, curvature)
    if coordinates == "tangent":
        X, middle = tangent, ball.logmap0(middle)
    return (X, y, middle) if return_centers else (X, y)


def _given_centers(
    centers: ArrayLike, n_features: int, ball: PoincareBall, coordinates: str
) -> Any:
    """Return the user's centers in ball coordinates, or raise a ValueError."""
    points = check_array(centers, dtype=np.float64, input_name="centers")
    if points.shape[1] != n_features:
        raise ValueError(
            f"centers have {points.shape[1]} features, but n_features is {n_features}."
        )
    if coordinates == "tangent":
        return ball.expmap0(points)
    ball.check_points(points, "centers")
    return points


def _warn_if_saturated(tangent: NDArray[np.float64], curvature: float) -> None:
    """Warn when samples are so near the rim that float64 cannot tell them apart."""
    furthest = curvature**0.5 * np.linalg.norm(tangent, axis=1).max()
    if furthest > SATURATION:
        warnings.warn(
            f"sqrt(curvature) |v| reaches {furthest:.1f} for the samples' tangent "
            f"vectors v at the origin; above {SATURATION:g} ball coordinates have few "
            "digits left. Lower center_radius, cluster_std or curvature.",
            UserWarning,
            stacklevel=3,
        )


def _spread(n_samples: int, n_groups: int, random: RandomState) -> NDArray[np.int64]:
    """Deal the samples over the groups as evenly as they divide, in random order."""
    # The groups are shuffled too: those with a sample more are then not the first.
    groups = np.resize(random.permutation(n_groups), n_samples)
    return random.permutation(groups).astype(np.int64, copy=False)


def _check_real(value: float, name: str, boundaries: str = "both") -> None:
    """Raise unless `value` is a finite number >= 0, or > 0 with open boundaries."""
    check_scalar(value, name, Real, min_val=0, include_boundaries=boundaries)
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")
