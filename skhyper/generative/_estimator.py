"""What estimators with a transformer over codes share: their fit, and its network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from skhyper._utils._callbacks import CallbackSupportMixin, EpochReports
from skhyper._utils._params import Interval, StrOptions, check_params

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

COUNT = Interval(Integral, 1, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="neither")

# Networks of fitted estimators, outside their __dict__: pickles and copies hold NumPy
# arrays only, and build the network again when they first need it.
_networks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class CodeEstimator(CallbackSupportMixin, BaseEstimator, ABC):
    """A transformer that is fitted to rows of codes by maximum likelihood.

    A subclass checks what its users give and calls `_learn`; `_new_network` says which
    network there is for what it has found.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "d_model": [COUNT],
        "n_layers": [COUNT],
        "n_heads": [COUNT],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [COUNT],
        "batch_size": [COUNT],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "learning_rate_schedule": [StrOptions({"constant", "linear"})],
        "n_iter_no_change": [COUNT],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "verbose": ["verbose"],
    }

    d_model: int
    n_layers: int
    n_heads: int
    dropout: float
    max_iter: int
    batch_size: int
    learning_rate: float
    learning_rate_schedule: str
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    random_state: Any
    device: str
    precision: str

    weights_: dict[str, NDArray[Any]]
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    n_iter_: int

    @abstractmethod
    def _new_network(self, found: Mapping[str, Any], dropout: float) -> Any:
        """Return the network that goes with fitted attributes, its weights at random.

        `found` has those that `_learn` was given, and ``_shape``.
        """

    def _check_parameters(self) -> None:
        """Check all parameters that need no data."""
        check_params(self)
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of n_heads={self.n_heads}."
            )

    def _asked_shape(self) -> dict[str, int]:
        """Return what parameters say of the network, which is kept with the weights."""
        return {
            "width": int(self.d_model),
            "n_blocks": int(self.n_layers),
            "n_heads": int(self.n_heads),
        }

    def _learn(
        self, rows: IntArray, weight: FloatArray, found: dict[str, Any], **data: Any
    ) -> Self:
        """Train a new network on rows, and set all fitted attributes.

        `found` are those that are known before; `data` is what callbacks are to see.
        """
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        training, held_out = self._split(rows, weight, seed)
        found = {**found, "_shape": self._asked_shape()}
        model = self._build(found, seed, float(self.dropout))
        reports = EpochReports(
            self,
            self.max_iter,
            lambda history: {**_learnt(model, history), **found},
            **data,
        )
        trainer = self._trainer(model, training, seed, reports, held_out)
        history = trainer.run(self.max_iter)
        self.__dict__.update({**_learnt(model, history), **found})
        _networks[self] = model
        reports.close(history)
        return self

    def _split(
        self, codes: IntArray, weight: FloatArray, seed: int
    ) -> tuple[tuple[IntArray, FloatArray], tuple[IntArray, FloatArray] | None]:
        """Return the rows to train on, and those that decide when to stop."""
        if not self.early_stopping:
            return (codes, weight), None
        n_samples = len(codes)
        n_validation = int(np.ceil(self.validation_fraction * n_samples))
        if n_validation >= n_samples:
            raise ValueError(
                f"early_stopping=True with validation_fraction="
                f"{self.validation_fraction} leaves no row to train on, out of "
                f"n_samples = {n_samples}. Give more samples or early_stopping=False."
            )
        order = np.random.RandomState(seed).permutation(n_samples)
        held_out, train = order[:n_validation], order[n_validation:]
        return (codes[train], weight[train]), (codes[held_out], weight[held_out])

    def _build(self, found: Mapping[str, Any], seed: int, dropout: float) -> Any:
        """Return a new network on the device asked for."""
        from skhyper._nn._runtime import resolve_device, seeded

        device = resolve_device(self.device)
        with seeded(seed, device):
            model = self._new_network(found, dropout)
        return model.to(device)

    def _trainer(self, model: Any, training: Any, seed: int, *observed: Any) -> Any:
        """Return the loop of a network's training.

        `observed` are who is told of every epoch, and the rows that decide, if any.
        """
        from skhyper._nn._train import Settings

        settings = Settings(
            batch_size=self._rows_of_batch(training[0]),
            learning_rate=self.learning_rate,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            seed=seed,
            precision=self.precision,
            schedule=self.learning_rate_schedule,
        )
        return self._trainer_class()(model, training, settings, *observed)

    def _rows_of_batch(self, rows: Any) -> int:
        """Return how many rows make a batch of `batch_size`."""
        return self.batch_size

    def _trainer_class(self) -> Any:
        from skhyper._nn._sequence import SequenceTrainer

        return SequenceTrainer

    def _network(self) -> Any:
        """Return the fitted network, rebuilt where a pickle or a file holds none."""
        model = _networks.get(self)
        if model is None:
            model = self._build(vars(self), 0, 0.0)
            model.load_weights(self.weights_)
            _networks[self] = model
        return model


def _learnt(model: Any, history: Any) -> dict[str, Any]:
    """Return the fitted attributes of this moment of training."""
    errors = history.validation_errors
    return {
        "weights_": model.weights(),
        "loss_curve_": list(history.loss_curve),
        "validation_scores_": None if errors is None else [-e for e in errors],
        "n_iter_": max(1, len(history.loss_curve)),
    }
