"""Between a training loop and scikit-learn's callbacks, which are still experimental.

With `skhyper.callbacks` the only file that touches them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sklearn.callback import CallbackSupportMixin
from sklearn.callback import with_callbacks as _with_callbacks

from skhyper._utils._log import logger, show_progress

__all__ = ["CallbackSupportMixin", "EpochReports", "with_callbacks"]

Method = TypeVar("Method", bound=Callable[..., Any])


def with_callbacks(fit: Method) -> Method:
    """Decorate `fit`, so that callbacks are torn down however it ends."""
    return cast(Method, _with_callbacks(fit))


class EpochReports:
    """Tell an estimator's callbacks, and its log, of every epoch of a fit.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
        The one in `fit`.
    max_epochs : int
        The most epochs there will be.
    attributes : callable
        Gives the fitted attributes of this moment for a history; called only if a
        callback asks for a fitted estimator.
    data : dict
        ``X``, ``y`` and ``metadata``, as callbacks are to see them.
    """

    def __init__(
        self,
        estimator: Any,
        max_epochs: int,
        attributes: Callable[[Any], dict[str, Any]],
        **data: Any,
    ) -> None:
        self._data = {"estimator": estimator, **data}
        self._name = type(estimator).__name__
        self._attributes = attributes
        self._verbose = bool(estimator.verbose)
        if self._verbose:
            show_progress()
        self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
        self._fit.call_on_fit_task_begin(**self._data)

    def begin(self) -> None:
        """Say that an epoch begins."""
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._data)

    def end(self, history: Any) -> bool:
        """Say that it is over; True if a callback asks to stop."""
        if self._verbose and history is not None:
            self._log(history)
        return bool(self._end(self._epoch, history))

    def close(self, history: Any) -> None:
        """Say that the fit is over."""
        self._end(self._fit, history)

    def _end(self, task: Any, history: Any) -> Any:
        # in the pretraining there is nothing yet that could encode
        usable = history is not None and history.complete
        attributes = (lambda: self._attributes(history)) if usable else None
        return task.call_on_fit_task_end(
            **self._data, reconstruction_attributes=attributes
        )

    def _log(self, history: Any) -> None:
        validation = history.validation_errors
        logger.info(
            "%s epoch %d: loss %.6g, error %.6g%s",
            self._name,
            len(history.loss_curve),
            history.loss_curve[-1],
            history.training_errors[-1],
            f", validation error {validation[-1]:.6g}" if validation else "",
        )
