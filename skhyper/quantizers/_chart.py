"""Between the features that a user holds and the points of a manifold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._warn import warn_user
from skhyper.manifolds import (
    Euclidean,
    Lorentz,
    PoincareBall,
    lorentz_to_poincare,
    poincare_to_lorentz,
)

FloatArray = NDArray[np.float64]

GEOMETRIES = {"tangent", "ball", "lorentz"}

# curvature="auto" puts the median point this many radii of curvature from the origin
AUTO_RADII = 0.5

# beyond sqrt(c) |v| = 15 the ball's float64 coordinates have lost 13 of 16 digits
SATURATED_AT = 15.0


class Chart:
    """Map rows of features to points of `manifold`, and back.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    geometry : {"tangent", "ball", "lorentz"}, default="tangent"
        What the features are: vectors of the tangent space at the origin (any
        Euclidean features), coordinates in the ball, or coordinates on the Lorentz
        sheet, time first.
    """

    def __init__(
        self, manifold: Euclidean | PoincareBall, geometry: str = "tangent"
    ) -> None:
        self.manifold = manifold
        self.geometry = geometry

    def points(self, X: NDArray[Any], name: str = "X") -> FloatArray:
        """Return the rows of `X`, called `name` in errors, as points in float64."""
        X = X.astype(np.float64, copy=False)
        if self.geometry == "tangent":
            return np.asarray(self.manifold.expmap0(X))
        if self.geometry == "lorentz":
            if X.shape[1] < 2:
                raise ValueError(
                    "input_geometry='lorentz' needs at least 2 features, the time "
                    f"coordinate first; {name} has {X.shape[1]}."
                )
            Lorentz(self.manifold.c).check_points(X, name)
            X = lorentz_to_poincare(X, self.manifold.c)
        self.manifold.check_points(X, name)
        return np.asarray(self.manifold.project(X))

    def features(self, Z: FloatArray) -> FloatArray:
        """Return points as rows in the geometry of the input."""
        if self.geometry == "tangent":
            return np.asarray(self.manifold.logmap0(Z))
        if self.geometry == "lorentz":
            return np.asarray(poincare_to_lorentz(Z, self.manifold.c))
        return Z

    def sq_error(self, X: NDArray[Any], X_hat: FloatArray) -> FloatArray:
        """Return the squared error of each row, averaged over its features.

        For points of the ball it is the squared half distance: the plain squared
        difference in the limit of curvature 0.
        """
        if self.geometry == "tangent":
            difference = X - X_hat
            return np.asarray(np.mean(difference * difference, axis=1))
        Z, Z_hat = self.points(X), self.points(X_hat)
        return np.asarray(self.manifold.sq_half_dist(Z, Z_hat)) / Z.shape[1]

    def warn_if_saturated(self, Z: FloatArray) -> None:
        """Warn if points lie so far out that their coordinates lose their digits."""
        if self.manifold.c == 0:
            return
        radius = np.sqrt(self.manifold.c * np.sum(Z * Z, axis=1))
        lost = np.count_nonzero(radius >= np.tanh(SATURATED_AT))
        if lost:
            warn_user(
                f"{lost} of {len(Z)} points lie more than {2 * SATURATED_AT:g} radii "
                f"of curvature from the origin (curvature={self.manifold.c:g}), where "
                "float64 coordinates no longer tell them apart. Lower curvature, use "
                "curvature='auto', or scale the features down.",
                UserWarning,
            )


def resolve_curvature(
    curvature: float | str, X: NDArray[Any], weight: FloatArray, geometry: str
) -> float:
    """Return the curvature to use for `X`.

    ``"auto"`` puts the (weighted) median hyperbolic radius of tangent features at
    `AUTO_RADII` radii of curvature, and takes 1 for points that come with their ball.
    """
    if curvature != "auto":
        return float(curvature)
    if geometry != "tangent":
        return 1.0
    with np.errstate(over="ignore"):
        length = np.linalg.norm(X.astype(np.float64, copy=False), axis=1)
    median = float(np.quantile(length, 0.5, weights=weight, method="inverted_cdf"))
    if median == 0:
        return 1.0
    if not 1e-150 < median < 1e150:
        raise ValueError(
            f"curvature='auto' follows the median length of the rows of X, {median:g}, "
            "whose square does not fit float64. Scale the features."
        )
    return (0.5 * AUTO_RADII / median) ** 2
