"""Residual quantization in flat space and on the ball."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._params import Interval, StrOptions
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.quantizers._base import BaseResidualQuantizer
from skhyper.quantizers._chart import GEOMETRIES, Chart, resolve_curvature
from skhyper.quantizers._online import check_unchanged


class ResidualQuantizer(BaseResidualQuantizer):
    """Residual quantization in flat space.

    Each level is a k-means of the residuals that the levels before it leave, so that
    the first token is the coarsest and every further one refines it.

    Parameters
    ----------
    n_levels : int, default=3
        Number of levels, the length of a code.
    codebook_size : int or array-like of int, default=256
        Codes of a level; one number a level, or one for all.
    n_init : int, default=3
        Runs of k-means a level; the best is kept.
    max_iter : int, default=100
        The most iterations of a run.
    tol : float, default=1e-4
        A run ends when the summed squared shift of the centers is below `tol` times
        the mean variance of a feature.
    beam_size : int, default=1
        Prefixes kept while encoding, no more than the largest codebook has codes. 1
        takes the nearest code at every level; more lowers the error of the whole code,
        never raises it, and costs time in proportion.
    refit : bool, default=False
        Re-solve all the codebooks together, given the codes, on the summed error of
        all prefixes, and encode again, while that lowers it.
    random_state : int, RandomState instance or None, default=None
        Seeds k-means.

    Attributes
    ----------
    codebooks_ : list of float64 arrays (codebook_size, n_features)
        The codes of each level.
    labels_ : int64 array of shape (n_samples,)
        The first token of each training row: of those of the last chunk after
        `partial_fit`.
    codebook_usage_ : array of shape (n_levels,)
        Share of each codebook that these rows use.
    n_iter_ : int
        Iterations of k-means, of the level that took most.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (`n_features_in_`,)
        Names of the features, if `fit` saw names.

    See Also
    --------
    HyperbolicResidualQuantizer : The same in the Poincare ball.

    References
    ----------
    .. [1] Y. Chen, T. Guan, C. Wang, "Approximate Nearest Neighbor Search by Residual
       Vector Quantization", Sensors 10, 2010.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.quantizers import ResidualQuantizer
    >>> X = load_naics().data
    >>> quantizer = ResidualQuantizer(n_levels=2, codebook_size=8, random_state=0)
    >>> codes = quantizer.fit_transform(X)
    >>> codes.shape
    (1012, 2)
    >>> quantizer.inverse_transform(codes[:, :1]).shape
    (1012, 384)
    """

    def __init__(
        self,
        n_levels: int = 3,
        codebook_size: int | Sequence[int] = 256,
        *,
        n_init: int = 3,
        max_iter: int = 100,
        tol: float = 1e-4,
        beam_size: int = 1,
        refit: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_levels = n_levels
        self.codebook_size = codebook_size
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.beam_size = beam_size
        self.refit = refit
        self.random_state = random_state

    def _new_chart(self, X: NDArray[Any], weight: NDArray[np.float64]) -> Chart:
        return Chart(Euclidean())

    def _chart(self) -> Chart:
        return Chart(Euclidean())


class HyperbolicResidualQuantizer(BaseResidualQuantizer):
    """Residual quantization in the Poincare ball.

    The rows become points of the ball, each level is a hyperbolic k-means of the
    residuals, and residuals are taken by Moebius subtraction in the order that
    telescopes: the distance from a point to its reconstruction is the length of the
    residual, for every prefix of the code. As the curvature falls to 0 it becomes
    `ResidualQuantizer`.

    Parameters
    ----------
    n_levels : int, default=3
        Number of levels, the length of a code.
    codebook_size : int or array-like of int, default=256
        Codes of a level; one number a level, or one for all.
    n_init : int, default=3
        Runs of k-means a level; the best is kept.
    max_iter : int, default=100
        The most iterations of a run.
    tol : float, default=1e-4
        A run ends when the summed squared shift of the centers is below `tol` times
        the mean variance of a feature.
    beam_size : int, default=1
        Prefixes kept while encoding, no more than the largest codebook has codes. 1
        takes the nearest code at every level; more lowers the error of the whole code,
        never raises it, and costs time in proportion.
    refit : bool, default=False
        Re-solve all the codebooks together, given the codes, on the summed error of
        all prefixes. Only with ``residual="tangent"``, where levels add up.
    curvature : float or "auto", default="auto"
        The ball has sectional curvature ``-curvature``. "auto" puts the median point
        half a radius of curvature from the origin, and means 1 for "ball" and
        "lorentz" input.
    residual : {"exact", "paper", "tangent"}, default="exact"
        "exact" takes ``(-q) (+) r`` and adds from the last level back [2]_; "paper"
        takes ``r (+) (-q)`` and adds from the first level on [1]_, which does not
        telescope; "tangent" subtracts logarithms at the origin.
    input_geometry : {"tangent", "ball", "lorentz"}, default="tangent"
        What the features are: Euclidean vectors, mapped by ``expmap0``; points of the
        ball; or points of the Lorentz sheet, time coordinate first.
    random_state : int, RandomState instance or None, default=None
        Seeds k-means.

    Attributes
    ----------
    codebooks_ : list of float64 arrays (codebook_size, n_dimensions)
        The codes of each level, in ball coordinates.
    labels_ : int64 array of shape (n_samples,)
        The first token of each training row: of those of the last chunk after
        `partial_fit`.
    codebook_usage_ : array of shape (n_levels,)
        Share of each codebook that these rows use.
    curvature_ : float
        The curvature used.
    n_iter_ : int
        Iterations of k-means, of the level that took most.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (`n_features_in_`,)
        Names of the features, if `fit` saw names.

    See Also
    --------
    ResidualQuantizer : The flat limit.
    HyperbolicKMeans : A single level, with distances.

    References
    ----------
    .. [1] P. Piekos, S. Kayal, A. Karatzoglou, "Hyperbolic Residual Quantization:
       Discrete Representations for Data with Latent Hierarchies", 2025.
       arXiv:2505.12404.
    .. [2] Colombo, Ayoughi, "Geometry-Aware Hyperbolic Residual Quantization", 2026,
       Eq. 8. arXiv:2609.26342.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.quantizers import HyperbolicResidualQuantizer
    >>> X = load_naics().data
    >>> quantizer = HyperbolicResidualQuantizer(2, 8, random_state=0)
    >>> quantizer.fit_transform(X).shape
    (1012, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseResidualQuantizer._parameter_constraints,
        "curvature": [
            Interval(Real, 0, np.inf, closed="neither"),
            StrOptions({"auto"}),
        ],
        "residual": [StrOptions({"exact", "paper", "tangent"})],
        "input_geometry": [StrOptions(GEOMETRIES)],
    }

    def __init__(
        self,
        n_levels: int = 3,
        codebook_size: int | Sequence[int] = 256,
        *,
        n_init: int = 3,
        max_iter: int = 100,
        tol: float = 1e-4,
        beam_size: int = 1,
        refit: bool = False,
        curvature: float | str = "auto",
        residual: str = "exact",
        input_geometry: str = "tangent",
        random_state: Any = None,
    ) -> None:
        self.n_levels = n_levels
        self.codebook_size = codebook_size
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.beam_size = beam_size
        self.refit = refit
        self.curvature = curvature
        self.residual = residual
        self.input_geometry = input_geometry
        self.random_state = random_state

    def _new_chart(self, X: NDArray[Any], weight: NDArray[np.float64]) -> Chart:
        if self.refit and self.residual != "tangent":
            raise ValueError(
                f"refit=True needs levels that add up, and residual={self.residual!r} "
                "composes them on the ball; use residual='tangent' or refit=False."
            )
        curvature = resolve_curvature(self.curvature, X, weight, self.input_geometry)
        return Chart(PoincareBall(curvature), self.input_geometry)

    def _keep_chart(self, chart: Chart) -> None:
        self.curvature_ = chart.manifold.c

    def _chart(self) -> Chart:
        return Chart(PoincareBall(self.curvature_), self.input_geometry)

    def _residual_rule(self) -> str:
        return self.residual

    def _check_unchanged(self, sizes: list[int]) -> None:
        super()._check_unchanged(sizes)
        if self.curvature != "auto":
            check_unchanged("curvature", self.curvature, self.curvature_)
