"""The contract of all that turns rows into codes, and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from skhyper._utils._codes import check_codes, fold_codes, mixed_radix, unfold_codes
from skhyper._utils._weights import check_sample_weight


def check_X(estimator: BaseEstimator, X: Any, *, reset: bool) -> NDArray[Any]:
    """Return `X` as a finite, C-ordered 2-D array of float64 or float32.

    The one door through which data enter. The row-major layout is part of the
    promise that a row's codes do not depend on how the rows are stored.
    """
    if getattr(X, "requires_grad", False):
        raise ValueError(
            "X is a torch tensor that requires grad, and codes have no gradient; "
            "give X.detach()."
        )
    shape = getattr(estimator, "input_shape", None)
    if shape is not None:
        _check_pictures(estimator, X, shape, reset)
    X = validate_data(
        estimator, X, reset=reset, dtype=[np.float64, np.float32], order="C"
    )
    return np.asarray(X)


def _check_pictures(estimator: Any, X: Any, shape: Any, reset: bool) -> None:
    """Raise a ValueError for pictures that are not flat, or of another size."""
    found = np.shape(X)
    if len(found) > 2:
        raise ValueError(
            f"X has shape {found}, and must be 2-D, a picture or a sound a row: give "
            "X.reshape(len(X), -1)."
        )
    if not reset and len(found) == 2 and found[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {found[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input: those of "
            f"input_shape={shape!r}. Bring all pictures or sounds to that size."
        )


class BaseCoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the estimators that turn each row into one token a level.

    Those for pictures and sounds turn it into one token a level and position. A
    subclass fits ``codebooks_``, and ``codes_shape_`` where there may be positions,
    sets ``_dtype`` to the dtype seen in `fit`, and says how validated rows become codes
    (`_encode`) and codes become rows (`_decode`), with a row of codes a position.
    """

    codebooks_: list[NDArray[np.float64]]
    codebook_usage_: NDArray[np.float64]
    _dtype: np.dtype[Any]

    @abstractmethod
    def _manifold(self) -> Any:
        """Return the space in which points and codes live."""

    @abstractmethod
    def _stack(self) -> Any:
        """Return the `ResidualStack` over ``codebooks_``."""

    @abstractmethod
    def _points(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return validated rows as points of the manifold."""

    def _prefix_points(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the points that validated codes, or prefixes of them, stand for."""
        return np.asarray(self._stack().decode(codes))

    @abstractmethod
    def _encode(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """Return the codes of validated rows, (n_samples * n_positions, n_levels)."""

    @abstractmethod
    def _decode(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows that codes as of `_encode` stand for, or their prefixes."""

    def transform(self, X: ArrayLike) -> NDArray[np.int64]:
        """Encode `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        codes : int64 array of shape (n_samples, n_levels)
            The first column is the coarsest. A pure function of each row. Where a row
            has several positions, (n_samples, n_levels * n_positions): first all
            positions of the coarsest level; ``codes.reshape(-1, *codes_shape_)`` folds
            them.
        """
        check_is_fitted(self)
        codes = self._encode(check_X(self, X, reset=False))
        return fold_codes(codes, self._n_positions)

    def inverse_transform(self, codes: ArrayLike) -> NDArray[Any]:
        """Reconstruct rows from codes.

        Parameters
        ----------
        codes : array-like of int, shape (n_samples, m) or (n_samples, m * n_positions)
            All the levels, or the first `m` of them for a coarser reconstruction.

        Returns
        -------
        X : array of shape (n_samples, n_features)
            In the input space, with the dtype seen in `fit`.

        Raises
        ------
        ValueError
            If `codes` is not a 2-D array of integers, has more columns than levels,
            or holds a token outside its codebook.
        """
        check_is_fitted(self)
        checked = check_codes(codes, self._sizes(), self._n_positions)
        decoded = self._decode(unfold_codes(checked, self._n_positions))
        return decoded.astype(self._dtype, copy=False)

    def _describe(self, codes: NDArray[np.int64], weight: NDArray[np.float64]) -> None:
        """Set what `fit` says of the training rows, which have the given codes."""
        present = codes[np.repeat(weight > 0, self._n_positions)]
        self.codebook_usage_ = np.array(
            [
                len(np.unique(tokens)) / size
                for tokens, size in zip(present.T, self._sizes(), strict=True)
            ]
        )

    def _sizes(self) -> list[int]:
        return [len(codebook) for codebook in self.codebooks_]

    @property
    def _n_features_out(self) -> int:
        return len(self.codebooks_) * self._n_positions

    @property
    def _n_positions(self) -> int:
        return math.prod(getattr(self, "codes_shape_", ())[1:])

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are codebooks: chunks may wait for more without any."""
        return hasattr(self, "codebooks_")

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: codes are int64 whatever the input's dtype."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class UnsupervisedCoder(BaseCoder):
    """Base of the coders whose tokens are cluster labels, and whose score an error."""

    labels_: NDArray[np.int64]
    input_shape: Any = None

    @abstractmethod
    def fit(self, X: ArrayLike, y: None = None, sample_weight: Any = None) -> Self:
        """Learn the codebooks from `X`."""

    def predict(self, X: ArrayLike, depth: int = 1) -> NDArray[np.int64]:
        """Label each row by its first `depth` tokens.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        depth : int, default=1
            How many levels to join into a label.

        Returns
        -------
        labels : int64 array of shape (n_samples,)
            The tokens read as the digits of one number (mixed radix over the fitted
            codebook sizes), so that clustering metrics apply.

        Raises
        ------
        ValueError
            If `depth` is not between 1 and the number of levels, or so large that the
            labels would not fit int64; if a row has codes at several positions.
        """
        check_is_fitted(self)
        return self._labels(self._encode(check_X(self, X, reset=False)), depth)

    def fit_predict(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Fit, and return the first token of each row.

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
        labels : int64 array of shape (n_samples,)
            ``labels_``.

        Raises
        ------
        ValueError
            If a row has codes at several positions.
        """
        self.fit(X, y, sample_weight=sample_weight)
        self._check_one_position()
        return self.labels_

    def score(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return minus the mean squared reconstruction error in the input space.

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
            Averaged over rows and features; higher is better, 0 the best. It always
            favours the larger codebook.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        weight = check_sample_weight(sample_weight, X)
        error = self._sq_error(X, self._reconstruct(X))
        return -float(np.average(error, weights=weight))

    def _reconstruct(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return what comes back of validated rows."""
        return self._decode(self._encode(X))

    def _describe(self, codes: NDArray[np.int64], weight: NDArray[np.float64]) -> None:
        super()._describe(codes, weight)
        self.__dict__.pop("labels_", None)
        if self._n_positions == 1:
            self.labels_ = self._labels(codes, depth=1)

    def _sq_error(self, X: NDArray[Any], X_hat: NDArray[Any]) -> NDArray[np.float64]:
        """Squared error of each row, averaged over its features."""
        difference = X.astype(np.float64, copy=False) - X_hat
        return np.asarray(np.mean(difference * difference, axis=1))

    def _labels(self, codes: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
        self._check_one_position()
        sizes = self._sizes()
        if not isinstance(depth, Integral) or not 1 <= depth <= len(sizes):
            raise ValueError(
                f"depth={depth!r} must be an integer from 1 to {len(sizes)}, the "
                "number of levels."
            )
        return mixed_radix(codes[:, :depth], sizes)

    def _check_one_position(self) -> None:
        """Raise a ValueError where a row's codes are no single label."""
        if self._n_positions > 1:
            raise ValueError(
                f"A row has codes at {self._n_positions} positions (input_shape="
                f"{self.input_shape}), which are no single label. Use transform."
            )
