"""k-means in the Poincare ball, in the words of scikit-learn's KMeans."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper._utils._rows import Rows, gather
from skhyper._utils._warn import warn_user
from skhyper._utils._weights import (
    check_sample_weight,
    distinct_rows,
    weight_unit,
)
from skhyper.base import check_X
from skhyper.manifolds import PoincareBall
from skhyper.quantizers._chart import GEOMETRIES, Chart, resolve_curvature
from skhyper.quantizers._lloyd import Cloud, kmeans
from skhyper.quantizers._online import absorb, check_unchanged, masses, pad_codes


class HyperbolicKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """K-means clustering in the Poincare ball.

    Lloyd's algorithm on ``cosh(sqrt(c) d) - 1``: the assignment is exact, the centroid
    has a closed form (the normalised sum of Lorentz vectors), and the objective never
    rises. As the curvature falls to 0 it becomes scikit-learn's KMeans.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters. If there are fewer distinct points, there will be fewer
        clusters, and a warning.
    init : "k-means++" or array-like of shape (n_clusters, n_features), \
            default="k-means++"
        Greedy k-means++ on the objective, or the centers to start from, in the
        geometry of the input.
    n_init : int, default=1
        Runs from different seeds; the best is kept. An array `init` runs once.
    max_iter : int, default=300
        The most iterations of a run.
    tol : float, default=1e-4
        A run ends when the summed squared shift of the centers is below `tol` times
        the mean variance of a feature.
    curvature : float or "auto", default="auto"
        The ball has sectional curvature ``-curvature``. "auto" puts the median point
        half a radius of curvature from the origin, and means 1 for "ball" and
        "lorentz" input.
    input_geometry : {"tangent", "ball", "lorentz"}, default="tangent"
        What the features are: Euclidean vectors, mapped by ``expmap0``; points of the
        ball; or points of the Lorentz sheet, time coordinate first.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of the first centers.

    Attributes
    ----------
    cluster_centers_ : float64 array of shape (n_clusters, n_features)
        The centers, in the geometry of the input.
    labels_ : int64 array of shape (n_samples,)
        The cluster of each training row: of those of the last chunk after
        `partial_fit`.
    inertia_ : float
        Weighted sum of ``|x - c|^2 / (A_x A_c)`` over these rows and their centers,
        which is ``(cosh(sqrt(c) d) - 1) / (2 c)``.
    n_iter_ : int
        Iterations of the best run of k-means.
    curvature_ : float
        The curvature used.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (`n_features_in_`,)
        Names of the features, if `fit` saw names.

    See Also
    --------
    HyperbolicResidualQuantizer : Several levels of it, for hierarchical codes.
    sklearn.cluster.KMeans : The flat limit.

    Notes
    -----
    `cosh d - 1` weighs far points more than the squared distance does; its centroid
    is the Einstein midpoint, not the Frechet mean.

    Examples
    --------
    >>> import numpy as np
    >>> from skhyper.quantizers import HyperbolicKMeans
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = HyperbolicKMeans(n_clusters=2, random_state=0).fit(X)
    >>> bool(kmeans.labels_[0] == kmeans.labels_[1] != kmeans.labels_[3])
    True
    >>> kmeans.transform(X).shape
    (6, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "curvature": [
            Interval(Real, 0, np.inf, closed="neither"),
            StrOptions({"auto"}),
        ],
        "input_geometry": [StrOptions(GEOMETRIES)],
        "random_state": ["random_state"],
    }

    # what `_online` calls the masses of the centers
    _mass: NDArray[np.float64]

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ArrayLike = "k-means++",
        n_init: int = 1,
        max_iter: int = 300,
        tol: float = 1e-4,
        curvature: float | str = "auto",
        input_geometry: str = "tangent",
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.curvature = curvature
        self.input_geometry = input_geometry
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Find the centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 0 counts as absent.

        Returns
        -------
        self : HyperbolicKMeans
            The fitted estimator.
        """
        check_params(self)
        self.__dict__.pop("_waiting", None)
        X = check_X(self, X, reset=True)
        weight = check_sample_weight(sample_weight, X)
        unit = weight_unit(sample_weight, weight)
        Z = self._learn(X, weight, unit)
        n_found = np.count_nonzero(self._mass)
        if n_found < self.n_clusters:
            warn_user(
                f"n_clusters={self.n_clusters}, but only {n_found} clusters were "
                "found: X has too few distinct points of positive weight. Lower "
                "n_clusters or give more samples.",
                ConvergenceWarning,
            )
        self.labels_ = self._nearest(Z)
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take in a chunk of rows, in one pass.

        The first rows start the centers as `fit` does, as soon as there are as many
        distinct ones as clusters; until then they wait, and the estimator counts as not
        fitted. From then on, as after `fit`, each center moves to the centroid of all
        rows that it ever was the nearest to: nothing is forgotten. A center that gets
        no row of the chunk moves onto a costly one, where that lowers the objective
        over all rows so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of the data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, on the same scale in all chunks.

        Returns
        -------
        self : HyperbolicKMeans
            The estimator. ``labels_`` and ``inertia_`` are those of the chunk.

        Raises
        ------
        ValueError
            If `X` has another width than before, or if `n_clusters` or `curvature` were
            set to other values than the fitted ones (`n_clusters` may grow).

        Examples
        --------
        >>> from skhyper.datasets import load_naics
        >>> from skhyper.quantizers import HyperbolicKMeans
        >>> X = load_naics().data
        >>> kmeans = HyperbolicKMeans(n_clusters=8, random_state=0)
        >>> for start in range(0, len(X), 200):
        ...     kmeans = kmeans.partial_fit(X[start : start + 200])
        >>> kmeans.predict(X).shape
        (1012,)
        """
        check_params(self)
        known, waiting = self.__sklearn_is_fitted__(), getattr(self, "_waiting", None)
        X = check_X(self, X, reset=not known and waiting is None)
        weight = check_sample_weight(sample_weight, X)
        unit = weight_unit(sample_weight, weight)
        rows = gather(waiting, X, weight * unit)
        if known:
            self._check_unchanged()
            self._pad()
            self._absorb(rows)
        elif len(rows.X) < self.n_clusters:
            self._new_chart(X, weight).points(X)  # bad points must not wait
            self._waiting = rows._asdict()
            return self
        else:
            self._start(rows)
        self.labels_, cost = self._cloud(X, weight).assign(self._centers())
        self.inertia_ = float(cost.sum()) * unit
        return self

    def _learn(
        self, X: NDArray[Any], weight: NDArray[np.float64], unit: float
    ) -> NDArray[np.float64]:
        """Find the centers of rows, and return the points."""
        chart = self._new_chart(X, weight)
        Z = chart.points(X)
        chart.warn_if_saturated(Z)
        distinct, total = distinct_rows(X, weight)
        cloud = Cloud(chart.manifold, Z[distinct], total)
        result = kmeans(
            cloud,
            self.n_clusters,
            rng=check_random_state(self.random_state),
            init=self._init_centers(X, chart),
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.curvature_ = chart.manifold.c
        self.cluster_centers_ = chart.features(result.centers)
        self.inertia_ = result.inertia * unit
        self.n_iter_ = result.n_iter
        n_found = len(result.centers)
        self._mass = unit * masses(cloud, result.labels, result.cost, n_found)
        self.__dict__.pop("_waiting", None)
        return Z

    def _start(self, rows: Rows) -> None:
        """Start from the first rows, with as many centers as were asked for."""
        weight = check_sample_weight(rows.weight, rows.X)
        self._learn(rows.X, weight, weight_unit(rows.weight, weight))
        self._pad()

    def _pad(self) -> None:
        """Fill the centers up where there were too few rows, or they are to grow."""
        n_missing = self.n_clusters - len(self._mass)
        self.cluster_centers_ = pad_codes(self.cluster_centers_, self.n_clusters)
        self._mass = np.pad(self._mass, (0, n_missing))

    def _check_unchanged(self) -> None:
        """Raise a ValueError if the centers are not those asked for."""
        n_fitted = len(self.cluster_centers_)
        if self.n_clusters < n_fitted:
            check_unchanged("n_clusters", self.n_clusters, n_fitted)
        if self.curvature != "auto":
            check_unchanged("curvature", self.curvature, self.curvature_)

    def _absorb(self, rows: Rows) -> None:
        """Move the centers towards the rows of a chunk."""
        cloud, centers = self._cloud(rows.X, rows.weight), self._centers()
        labels, _ = cloud.assign(centers)
        codes, self._mass, _ = absorb(cloud, labels, centers, self._mass)
        self.cluster_centers_ = self._chart().features(codes)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the nearest center of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        labels : int64 array of shape (n_samples,)
            Indices into ``cluster_centers_``; ties go to the lowest.
        """
        check_is_fitted(self)
        return self._nearest(self._chart().points(check_X(self, X, reset=False)))

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the hyperbolic distance of each row to each center.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        distances : array of shape (n_samples, n_clusters)
            Geodesic distances, in the dtype of `X`. They tend to twice the Euclidean
            distance as the curvature falls to 0.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        distances = self._chart().manifold.pairwise_dist(
            self._chart().points(X), self._centers()
        )
        return np.asarray(distances).astype(X.dtype, copy=False)

    def score(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return minus the objective on `X`, as scikit-learn's KMeans does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Minus the inertia of `X` for the fitted centers.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        weight = check_sample_weight(sample_weight, X)
        _, cost = self._cloud(X, weight).assign(self._centers())
        return -float(cost.sum()) * weight_unit(sample_weight, weight)

    def _new_chart(self, X: NDArray[Any], weight: NDArray[np.float64]) -> Chart:
        curvature = resolve_curvature(self.curvature, X, weight, self.input_geometry)
        return Chart(PoincareBall(curvature), self.input_geometry)

    def _chart(self) -> Chart:
        return Chart(PoincareBall(self.curvature_), self.input_geometry)

    def _centers(self) -> NDArray[np.float64]:
        return self._chart().points(self.cluster_centers_)

    def _cloud(self, X: NDArray[Any], weight: NDArray[np.float64]) -> Cloud:
        return Cloud(self._chart().manifold, self._chart().points(X), weight)

    def _nearest(self, Z: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(self._chart().manifold.nearest(Z, self._centers()))

    def _init_centers(
        self, X: NDArray[Any], chart: Chart
    ) -> NDArray[np.float64] | None:
        if isinstance(self.init, str):
            return None
        init = check_array(self.init, dtype=np.float64, input_name="init")
        if init.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init has shape {init.shape}, expected (n_clusters, n_features) = "
                f"({self.n_clusters}, {X.shape[1]})."
            )
        return chart.points(init, "init")

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are centers: chunks may wait for more without any."""
        return hasattr(self, "cluster_centers_")

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: distances keep the dtype of the input."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
