"""Callbacks for tokenizers, beside those of `sklearn.callback`.

Set them with ``tokenizer.set_callbacks(...)``; they hear of every epoch of `fit`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skhyper.metrics import codebook_usage

__all__ = ["EarlyStopping", "EpochLog"]

Scorer = Callable[[Any, Any, Any], float]


class _EpochCallback(ABC):
    """The hooks that scikit-learn calls, brought down to three.

    Clones share their callbacks, so that one callback may follow several fits at once:
    what it knows of each is kept apart in ``_runs``.
    """

    def __init__(self) -> None:
        self._runs: dict[int, Any] = {}

    def setup(self, estimator: Any, context: Any) -> None:
        """Begin with a fit.

        Parameters
        ----------
        estimator : estimator
            The one in `fit`.
        context : sklearn.callback.CallbackContext
            Its task.
        """
        self._runs[id(estimator)] = self._new_run()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Forget a fit.

        Parameters
        ----------
        estimator : estimator
            The one in `fit`.
        context : sklearn.callback.CallbackContext
            Its task.
        """
        self._runs.pop(id(estimator), None)

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:  # noqa: B027
        """Do nothing.

        Parameters
        ----------
        estimator : estimator
            The one in `fit`.
        context : sklearn.callback.CallbackContext
            The task that begins.
        """

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,
        y: Any = None,
        fitted_estimator: Any = None,
    ) -> bool:
        """Look at the estimator after an epoch.

        Parameters
        ----------
        estimator : estimator
            The one in `fit`.
        context : sklearn.callback.CallbackContext
            The task that ends.
        X, y : array-like
            What `fit` was given.
        fitted_estimator : estimator or None
            The estimator as if training had stopped now; None while it cannot encode.

        Returns
        -------
        bool
            Whether to end training.
        """
        if context.task_name != "epoch" or fitted_estimator is None:
            return False
        return self._after_epoch(id(estimator), fitted_estimator, X, y)

    @abstractmethod
    def _new_run(self) -> Any:
        """Return what to know of a fit that begins."""

    @abstractmethod
    def _after_epoch(self, run: int, fitted: Any, X: Any, y: Any) -> bool:
        """Look at the estimator, and say whether to end training."""


class _Progress(NamedTuple):
    best: float
    stalled: int


class EarlyStopping(_EpochCallback):
    """End training once a score does not rise any more.

    The tokenizers' own ``early_stopping`` follows the reconstruction error; this
    follows any score, such as one of `skhyper.metrics`. Which weights are kept does
    not change: those of the lowest reconstruction error so far.

    Parameters
    ----------
    scoring : callable or None, default=None
        ``scoring(estimator, X, y)``, higher is better, for the estimator as it would
        be if training stopped now, and the rows given to `fit`. None takes minus the
        reconstruction error, of the validation rows if there are any.
    n_iter_no_change : int, default=10
        Epochs without an improvement of `tol` after which training stops.
    tol : float, default=1e-4
        What counts as an improvement.

    Raises
    ------
    ValueError
        If `scoring` is neither None nor callable, `n_iter_no_change` is below 1 or
        `tol` is below 0.

    Examples
    --------
    >>> from skhyper import RQVAETokenizer
    >>> from skhyper.callbacks import EarlyStopping
    >>> from skhyper.datasets import load_naics
    >>> X = load_naics().data
    >>> tokenizer = RQVAETokenizer(2, 16, hidden_layer_sizes=64, random_state=0)
    >>> stop = EarlyStopping(n_iter_no_change=2, tol=0.1)
    >>> tokenizer.set_callbacks(stop).fit(X).n_iter_ < tokenizer.max_iter
    True
    """

    def __init__(
        self,
        scoring: Scorer | None = None,
        *,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
    ) -> None:
        if scoring is not None and not callable(scoring):
            raise ValueError(
                f"scoring={scoring!r} must be None or a callable(estimator, X, y); "
                "sklearn.metrics.get_scorer turns a name into one."
            )
        if n_iter_no_change < 1:
            raise ValueError(f"n_iter_no_change={n_iter_no_change} must be at least 1.")
        if not tol >= 0:
            raise ValueError(f"tol={tol} must be at least 0.")
        self.scoring = scoring
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        super().__init__()

    def _new_run(self) -> _Progress:
        return _Progress(-np.inf, 0)

    def _after_epoch(self, run: int, fitted: Any, X: Any, y: Any) -> bool:
        score = self._score(fitted, X, y)
        best, stalled = self._runs[run]
        stalled = 0 if score > best + self.tol else stalled + 1
        self._runs[run] = _Progress(max(best, score), stalled)
        return bool(stalled >= self.n_iter_no_change)

    def _score(self, fitted: Any, X: Any, y: Any) -> float:
        if self.scoring is not None:
            return float(self.scoring(fitted, X, y))
        scores = fitted.validation_scores_
        return float(scores[-1] if scores else -fitted.error_curve_[-1])


class EpochLog(_EpochCallback):
    """Keep figures of every epoch, codebook usage over the whole data among them.

    Usage is counted over all rows given to `fit`, encoded as `transform` would. Of a
    batch it would depend on the batch's size. This takes one encoding an epoch.

    Parameters
    ----------
    sink : callable or None, default=None
        Called with each record, a dict, as soon as it is there: to print it, append it
        to a file, or hand it to a tracker of experiments.

    Attributes
    ----------
    records : list of dict
        One an epoch after the pretraining: ``run`` (which fit, from 0), ``epoch`` (from
        1), ``seconds`` (since the fit began), ``loss``, ``error`` (the reconstruction
        part, of the training rows), ``validation_error`` (if there are such rows) and
        ``usage`` (array of shape (n_levels,), shares of the codes in use).

    Raises
    ------
    ValueError
        If `sink` is neither None nor callable.

    Notes
    -----
    Clones share the callback, so that a grid search in this process appends one run a
    fit. Where it works in other processes, records stay there: let `sink` write them.

    Examples
    --------
    >>> from skhyper import RQVAETokenizer
    >>> from skhyper.callbacks import EpochLog
    >>> from skhyper.datasets import load_naics
    >>> X, log = load_naics().data, EpochLog()
    >>> tokenizer = RQVAETokenizer(2, 16, hidden_layer_sizes=64, max_iter=3,
    ...                            random_state=0)
    >>> _ = tokenizer.set_callbacks(log).fit(X)
    >>> [record["epoch"] for record in log.records]
    [1, 2, 3]
    >>> log.to_frame().columns.to_list()
    ['run', 'epoch', 'seconds', 'loss', 'error', 'usage_0', 'usage_1']
    """

    def __init__(self, sink: Callable[[dict[str, Any]], Any] | None = None) -> None:
        if sink is not None and not callable(sink):
            raise ValueError(f"sink={sink!r} must be None or a callable(record).")
        self.sink = sink
        self.records: list[dict[str, Any]] = []
        self._n_runs = 0
        super().__init__()

    def _new_run(self) -> tuple[int, float]:
        self._n_runs += 1
        return self._n_runs - 1, time.monotonic()

    def _after_epoch(self, run: int, fitted: Any, X: Any, y: Any) -> bool:
        number, start = self._runs[run]
        record = {
            "run": number,
            "epoch": len(fitted.loss_curve_),
            "seconds": time.monotonic() - start,
            "loss": fitted.loss_curve_[-1],
            "error": fitted.error_curve_[-1],
        }
        if fitted.validation_scores_:
            record["validation_error"] = -fitted.validation_scores_[-1]
        sizes = [len(codes) for codes in fitted.codebooks_]
        record["usage"] = codebook_usage(np.asarray(fitted.transform(X)), sizes)
        self.records.append(record)
        if self.sink is not None:
            self.sink(record)
        return False

    def to_frame(self) -> Any:
        """Return the records as a pandas data frame, one column a level's usage.

        Returns
        -------
        pandas.DataFrame
            One row an epoch.
        """
        import pandas as pd

        rows = [
            {k: v for k, v in record.items() if k != "usage"}
            | {f"usage_{level}": v for level, v in enumerate(record["usage"])}
            for record in self.records
        ]
        return pd.DataFrame(rows)
