"""Multinomial logistic regression in the Poincare ball."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
)

from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper._utils._warn import warn_user
from skhyper._utils._weights import distinct_rows
from skhyper.base import check_X
from skhyper.classification._class_weight import class_weights
from skhyper.classification._objective import (
    FloatArray,
    Objective,
    gains_of,
    with_first,
)
from skhyper.manifolds import PoincareBall
from skhyper.manifolds._hyperplanes import hyperplane_logits
from skhyper.quantizers._chart import GEOMETRIES, Chart, resolve_curvature


class HyperbolicLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression in the Poincare ball.

    The logit of a class is the signed distance of a point to the class's hyperplane,
    times a gain (Poincare multinomial logistic regression in its unidirectional form
    [1]_). Minimises, as scikit-learn's LogisticRegression does, `C` times the summed
    cross-entropy plus half the squared length of the coefficients, and becomes that
    as the curvature falls to 0.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the strength of the penalty on ``coef_``; ``np.inf`` for none.
    curvature : float or "auto", default="auto"
        The ball has sectional curvature ``-curvature``. "auto" puts the median point
        half a radius of curvature from the origin, and means 1 for "ball" and
        "lorentz" input. Choose it together with `C`: far out, the ball stretches
        distances, and so weakens the penalty.
    input_geometry : {"tangent", "ball", "lorentz"}, default="tangent"
        What the features are: Euclidean vectors, mapped by ``expmap0``; points of the
        ball; or points of the Lorentz sheet, time coordinate first.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn.
    max_iter : int, default=1000
        The most iterations of L-BFGS.
    tol : float, default=1e-4
        It ends when no component of the gradient, divided by `C` times the total
        weight of the samples, is larger. Coefficients count in units of one over the
        root mean square length of the rows.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The labels.
    coef_ : float64 array of shape (1, n_dims) or (n_classes, n_dims)
        The normal of each class's hyperplane, times its gain; for two classes only
        that of the second. `n_dims` is `n_features_in_`, or one less for "lorentz".
    intercept_ : float64 array of shape (1,) or (n_classes,)
        The logits at the origin. A hyperplane passes the origin at the tangent length
        ``-intercept_ / |coef_|``, in the direction of its coefficients.
    curvature_ : float
        The curvature used.
    n_iter_ : int
        Iterations of L-BFGS.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (`n_features_in_`,)
        Names of the features, if `fit` saw names.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The flat limit.

    Notes
    -----
    Distances are halved, so that in the limit logits are ``X @ coef_.T + intercept_``;
    those of [1]_ are four times as large at equal parameters. The objective is smooth
    but not convex: the optimum found is that below the start, where all parameters
    are 0.

    Two small constants make it so. Every plane has a fixed coefficient of
    ``0.002 sqrt(c)`` along a spare dimension in which all points are 0, because logits
    have a kink where the gain is 0. With more than two classes, what their intercepts
    share is penalised like a coefficient, but a thousandth as much, in units of
    ``2 sqrt(c)``: unlike in flat space it bends the logits a little, and the best
    value may be infinite.

    References
    ----------
    .. [1] R. Shimizu, Y. Mukuta, T. Harada, "Hyperbolic Neural Networks++", ICLR 2021,
       Eq. 6.

    Examples
    --------
    The sector of an industry, from the embedding of its text:

    >>> from skhyper.classification import HyperbolicLogisticRegression
    >>> from skhyper.datasets import load_naics
    >>> naics = load_naics()
    >>> X, sector = naics.data, naics.target_titles[0][naics.target[:, 0]]
    >>> model = HyperbolicLogisticRegression(C=10).fit(X[::2], sector[::2])
    >>> model.score(X[1::2], sector[1::2]) > 0.85
    True
    >>> naics.titles[117]
    'Siding Contractors'
    >>> model.predict(X[117:118])
    array(['Construction'], dtype=object)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "C": [Interval(Real, 0, None, closed="right")],
        "curvature": [
            Interval(Real, 0, np.inf, closed="neither"),
            StrOptions({"auto"}),
        ],
        "input_geometry": [StrOptions(GEOMETRIES)],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        C: float = 1.0,
        curvature: float | str = "auto",
        input_geometry: str = "tangent",
        class_weight: dict[Any, float] | str | None = None,
        max_iter: int = 1000,
        tol: float = 1e-4,
    ) -> None:
        self.C = C
        self.curvature = curvature
        self.input_geometry = input_geometry
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Find the hyperplanes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : array-like of shape (n_samples,)
            The labels, of at least two classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight 0 counts as absent.

        Returns
        -------
        self : HyperbolicLogisticRegression
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are labels of one class only.
        """
        check_params(self)
        X = check_X(self, X, reset=True)
        classes, labels, weight = self._check_targets(X, y, sample_weight)
        c = resolve_curvature(self.curvature, X, weight, self.input_geometry)
        chart = Chart(ball := PoincareBall(c), self.input_geometry)
        Z = chart.points(X)
        chart.warn_if_saturated(Z)
        rows, weight = distinct_rows(np.column_stack([Z, labels]), weight)
        Z, labels = Z[rows], labels[rows]
        weight *= class_weights(self.class_weight, classes[labels], weight)
        objective = Objective(ball, Z, labels, weight, self.C)
        self.coef_, self.intercept_ = objective.planes(self._minimize(objective))
        self.classes_ = classes
        self.curvature_ = c
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logits: gains times signed half distances to the hyperplanes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        logits : array of shape (n_samples,) or (n_samples, n_classes)
            In the dtype of `X`, a pure function of each row; for two classes the logit
            of the second.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        logits = self._logits(X)
        if len(self.classes_) == 2:
            logits = logits[:, 0]
        return logits.astype(X.dtype, copy=False)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        labels : array of shape (n_samples,)
            Elements of ``classes_``; ties go to the first.
        """
        check_is_fitted(self)
        logits = with_first(self._logits(check_X(self, X, reset=False)))
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            In the dtype of `X`, and the order of ``classes_``.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        probabilities = softmax(with_first(self._logits(X)), axis=1)
        return np.asarray(probabilities).astype(X.dtype, copy=False)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        log_probabilities : array of shape (n_samples, n_classes)
            Finite also where a probability rounds to 0.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        log_probabilities = log_softmax(with_first(self._logits(X)), axis=1)
        return np.asarray(log_probabilities).astype(X.dtype, copy=False)

    def _check_targets(
        self, X: NDArray[Any], y: Any, sample_weight: Any
    ) -> tuple[NDArray[Any], NDArray[np.int64], FloatArray]:
        """Return the classes, and the index and the weight of the class of each row."""
        if y is None:
            raise ValueError(
                "HyperbolicLogisticRegression requires y to be passed, but the target "
                "y is None."
            )
        y = _check_y(y, estimator=self)
        check_consistent_length(X, y)
        check_classification_targets(y)
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        present = weight > 0
        labels = np.zeros(len(y), dtype=np.int64)
        classes, labels[present] = np.unique(y[present], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "y needs samples of at least 2 classes, but holds only one class among "
                f"the samples of positive weight: {classes.tolist()[0]!r}. Give "
                "samples of another class."
            )
        return classes, labels, weight

    def _minimize(self, objective: Objective) -> FloatArray:
        """Run L-BFGS, and warn if it does not converge; return the parameters."""
        options = {
            "maxiter": self.max_iter,
            "maxfun": 50 * self.max_iter,
            "maxls": 50,
            "gtol": self.tol,
            # as scikit-learn: stop where rounding hides any further progress
            "ftol": 64 * np.finfo(np.float64).eps,
        }
        result = minimize(
            objective, objective.start(), jac=True, method="L-BFGS-B", options=options
        )
        self.n_iter_ = int(result.nit)
        if not result.success:
            warn_user(
                f"L-BFGS stopped after {result.nit} of max_iter={self.max_iter} "
                f"iterations, before the gradient fell to tol={self.tol:g}. Raise "
                "max_iter or tol, or lower curvature or C.",
                ConvergenceWarning,
            )
        return np.asarray(result.x)

    def _logits(self, X: NDArray[Any]) -> FloatArray:
        """Return the logits (n_samples, n_planes) of validated rows."""
        ball = PoincareBall(self.curvature_)
        Z = Chart(ball, self.input_geometry).points(X)
        gains = gains_of(self.coef_, 2.0 * ball.c**0.5)
        normals, offsets = self.coef_ / gains[:, None], -self.intercept_ / gains
        return np.asarray(hyperplane_logits(ball, Z, normals, offsets, gains))
