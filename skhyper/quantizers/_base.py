"""What both residual quantizers share: fit, chunks, encode and decode."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from types import MethodType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhyper._utils._codes import check_beam_size, resolve_sizes
from skhyper._utils._params import Interval, check_params
from skhyper._utils._rows import Rows, gather
from skhyper._utils._weights import (
    check_sample_weight,
    distinct_rows,
    weight_unit,
)
from skhyper.base import UnsupervisedCoder, check_X
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.quantizers._chart import Chart
from skhyper.quantizers._levels import (
    absorb_levels,
    fit_levels,
    level_masses,
    warn_if_short,
)
from skhyper.quantizers._online import check_grown, pad_codes
from skhyper.quantizers._refit import refit_codebooks
from skhyper.quantizers._stack import ResidualStack


class _RefitNeedsAllRows(ValueError, AttributeError):
    """Of `partial_fit`, which an estimator with ``refit=True`` does not have."""


class unless_refit:
    """A method that is there with ``refit=False`` only, for `hasattr` too."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, estimator: Any, owner: type) -> Callable[..., Any]:
        """Return the method, or its function if it is looked up on the class."""
        if estimator is None:
            return self._method
        if estimator.refit:
            raise _RefitNeedsAllRows(
                "refit=True solves for all codebooks at once and needs all rows, which "
                "partial_fit does not have; use fit, or set refit=False."
            )
        return MethodType(self._method, estimator)


class BaseResidualQuantizer(UnsupervisedCoder):
    """Fit, encode and decode over a `Chart`; the subclass names the space."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "beam_size": [Interval(Integral, 1, None, closed="left")],
        "refit": ["boolean"],
        "random_state": ["random_state"],
    }

    n_levels: int
    codebook_size: int | Sequence[int]
    n_init: int
    max_iter: int
    tol: float
    beam_size: int
    refit: bool
    random_state: Any
    # of each level, what `_online` calls the masses of the codes
    _masses: list[NDArray[np.float64]]

    @abstractmethod
    def _new_chart(self, X: NDArray[Any], weight: NDArray[np.float64]) -> Chart:
        """Return the map between features and points for rows to learn from."""

    @abstractmethod
    def _chart(self) -> Chart:
        """Return the map of the fitted estimator."""

    def _residual_rule(self) -> str:
        return "exact"

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn one codebook a level.

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
        self : object
            The fitted estimator.
        """
        sizes = self._check_parameters()
        self.__dict__.pop("_waiting", None)
        X = check_X(self, X, reset=True)
        weight = check_sample_weight(sample_weight, X)
        Z = self._learn(X, weight, sizes)
        warn_if_short(self.codebook_size, sizes, self._sizes())
        codes = self._weigh(Z, weight * weight_unit(sample_weight, weight))
        self._describe(codes, weight)
        return self

    @unless_refit
    def partial_fit(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take in a chunk of rows, in one pass.

        The first rows start the codebooks as `fit` does, as soon as there are as many
        distinct ones as the largest codebook has codes; until then they wait, and the
        estimator counts as not fitted. From then on, as after `fit`, each code moves to
        the centroid of the rows behind it and its rows in the chunk. What earlier rows
        count for halves with every 50 rows a code, because their residuals were taken
        from codes that have moved since. A code that gets no row of the chunk moves
        onto a costly one, where that lowers the error over all rows so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of the data, the better the more rows a code it has.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, on the same scale in all chunks.

        Returns
        -------
        self : object
            The estimator. ``labels_`` and ``codebook_usage_`` are those of the chunk.

        Raises
        ------
        ValueError
            With ``refit=True``, which needs all rows at once; if `X` has another width
            than before, or if `n_levels`, `codebook_size` or `curvature` were set to
            other values than the fitted ones (`codebook_size` may grow).

        Examples
        --------
        >>> from skhyper.datasets import load_naics
        >>> from skhyper.quantizers import ResidualQuantizer
        >>> X = load_naics().data
        >>> quantizer = ResidualQuantizer(2, 16, random_state=0)
        >>> for start in range(0, len(X), 200):
        ...     quantizer = quantizer.partial_fit(X[start : start + 200])
        >>> quantizer.transform(X).shape
        (1012, 2)
        """
        sizes = self._check_parameters()
        known, waiting = hasattr(self, "codebooks_"), getattr(self, "_waiting", None)
        X = check_X(self, X, reset=not known and waiting is None)
        weight = check_sample_weight(sample_weight, X)
        unit = weight_unit(sample_weight, weight)
        rows = gather(waiting, X, weight * unit)
        if known:
            self._check_unchanged(sizes)
            self._grow(sizes)
            self._absorb(rows, n_rows=int(np.count_nonzero(weight)))
        elif len(rows.X) < max(sizes):
            self._new_chart(X, weight).points(X)  # bad points must not wait
            self._waiting = rows._asdict()
            return self
        else:
            self._start(rows, sizes)
        self._describe(self._encode(X), weight)
        return self

    def _check_parameters(self) -> list[int]:
        """Return the sizes of the codebooks, if all parameters are in range."""
        check_params(self)
        sizes = resolve_sizes(self.codebook_size, self.n_levels)
        check_beam_size(self.beam_size, sizes)
        return sizes

    def _check_unchanged(self, sizes: list[int]) -> None:
        """Raise a ValueError if the codebooks are not those asked for."""
        check_grown("codebook_size", sizes, self._sizes())

    def _learn(
        self, X: NDArray[Any], weight: NDArray[np.float64], sizes: list[int]
    ) -> NDArray[np.float64]:
        """Fit the codebooks to rows, and return the points."""
        chart, residual = self._new_chart(X, weight), self._residual_rule()
        Z = chart.points(X)
        chart.warn_if_saturated(Z)
        distinct, total = distinct_rows(X, weight)
        codebooks, n_iter = fit_levels(
            chart.manifold,
            Z[distinct],
            total,
            sizes,
            residual=residual,
            rng=check_random_state(self.random_state),
            n_init=self.n_init,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if self.refit:
            stack = ResidualStack(chart.manifold, codebooks, residual)
            codebooks = refit_codebooks(stack, Z[distinct], total, self.beam_size)
        self._keep_chart(chart)
        self.codebooks_, self.n_iter_, self._dtype = codebooks, n_iter, X.dtype
        self.__dict__.pop("_waiting", None)
        return Z

    def _keep_chart(self, chart: Chart) -> None:
        """Set what `_chart` needs beyond the parameters."""

    def _weigh(
        self, Z: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Note the masses of the codes, for chunks to come, and return the codes."""
        codes = self._stack().encode(Z, self.beam_size)
        self._masses = level_masses(self._stack(), Z, weight, codes)
        return codes

    def _start(self, rows: Rows, sizes: list[int]) -> None:
        """Start from the first rows, with codebooks of full size."""
        Z = self._learn(rows.X, check_sample_weight(rows.weight, rows.X), sizes)
        self.codebooks_ = self._padded(sizes)
        self._weigh(Z, rows.weight)

    def _padded(self, sizes: list[int]) -> list[NDArray[np.float64]]:
        """Return codebooks filled up that had too few rows, or are to grow."""
        pairs = zip(self.codebooks_, sizes, strict=True)
        return [pad_codes(codes, size) for codes, size in pairs]

    def _grow(self, sizes: list[int]) -> None:
        self.codebooks_ = self._padded(sizes)
        pairs = zip(self._masses, sizes, strict=True)
        self._masses = [np.pad(mass, (0, size - len(mass))) for mass, size in pairs]

    def _absorb(self, rows: Rows, n_rows: int) -> None:
        """Move the codes towards the rows of a chunk."""
        self.codebooks_, self._masses = absorb_levels(
            self._stack(),
            self._masses,
            self._points(rows.X),
            rows.weight,
            beam_size=self.beam_size,
            n_rows=n_rows,
        )

    def _manifold(self) -> Euclidean | PoincareBall:
        return self._chart().manifold

    def _stack(self) -> ResidualStack:
        return ResidualStack(self._manifold(), self.codebooks_, self._residual_rule())

    def _points(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self._chart().points(X)

    def _encode(self, X: NDArray[Any]) -> NDArray[np.int64]:
        return self._stack().encode(X, self.beam_size, self._points)

    def _decode(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._chart().features(self._prefix_points(codes))

    def _sq_error(self, X: NDArray[Any], X_hat: NDArray[Any]) -> NDArray[np.float64]:
        return self._chart().sq_error(X, X_hat)
