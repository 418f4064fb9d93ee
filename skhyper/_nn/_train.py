"""The training loop: epochs, best weights, dead codes, early stopping."""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from skhyper._nn._bottleneck import Passed
from skhyper._nn._codebooks import adamw
from skhyper._nn._model import Autoencoder, Losses
from skhyper._nn._optimizers import load_optimizer_arrays, optimizer_arrays
from skhyper._nn._runtime import seeded
from skhyper._utils._warn import warn_user

# Where codes are drawn, the error that decides needs a pass of its own, over no more
# rows than these: a fifth to two fifths of the time of an epoch that has fewer. With
# 250 rows the weights that it kept were worse than those of the draws' own error.
DECIDING_ROWS = 4096


class Observer(Protocol):
    """Who is told of every epoch, and may end training."""

    def begin(self) -> None:
        """Hear that an epoch begins."""

    def end(self, history: History | None) -> bool:
        """Hear that it is over, with what is known so far; True ends training."""


class _NoObserver:
    def begin(self) -> None:
        pass

    def end(self, history: History | None) -> bool:
        return False


@dataclass
class Settings:
    """What the loop needs of an estimator's parameters."""

    batch_size: int
    learning_rate: float
    n_iter_no_change: int
    tol: float
    seed: int
    precision: str = "float32"  # of products, see `resolve_precision`
    schedule: str = "constant"  # of the learning rate, or "linear"


@dataclass
class History:
    """What the loop leaves behind."""

    loss_curve: list[float] = field(default_factory=list)
    training_errors: list[float] = field(default_factory=list)
    validation_errors: list[float] | None = None  # if there are validation rows
    best_epoch: int = 0
    complete: bool = True  # whether all is there that is to be learnt


class Trainer:
    """Fit an `Autoencoder`.

    Parameters
    ----------
    model : Autoencoder
        The network; its codebooks may come later, by `start`.
    training : tensors (n, n_features), (n,) and possibly (n,)
        Rows, their weights, of mean 1, and targets, on the model's device.
    settings : Settings
        Hyper-parameters.
    observer : Observer, optional
        Told of every epoch.
    validation : tensors, optional
        Rows, weights and possibly targets, whose error then decides.
    """

    def __init__(
        self,
        model: Autoencoder,
        training: tuple[torch.Tensor, ...],
        settings: Settings,
        observer: Observer | None = None,
        validation: tuple[torch.Tensor, ...] | None = None,
    ) -> None:
        self.model, self.training = model, training
        self.X, self.weight = training[:2]
        self.settings, self.validation = settings, validation
        self.observer = observer or _NoObserver()
        # on the CPU, so that a seed shuffles the same way on every device
        self._generator = torch.Generator().manual_seed(settings.seed)
        model.bottleneck.generator = self._generator
        self._optimizers: list[torch.optim.Optimizer] = []
        self.stopped = False

    def pretrain(self, n_epochs: int) -> None:
        """Train the bare autoencoder, then centre its latents.

        Codebooks that start on the latents of an untrained encoder hold it back.
        """
        self._start_bare()
        good = _snapshot(self.model)
        try:
            for epoch in range(1, n_epochs + 1):
                self.observer.begin()
                loss = self._pretraining_epoch(epoch)
                if not self._is_finite(loss, epoch, kept=epoch - 1):
                    break
                good = _snapshot(self.model)
                if self.observer.end(None):
                    break
        except KeyboardInterrupt:
            self._stop("Pretraining was interrupted; the network is kept as it is.")
        self.model.load_state_dict(good)
        self.model.centre_latents(self.X, self.weight)

    def pretrain_once(self) -> None:
        """Take a single pass of it, which an interrupt leaves undone."""
        self._start_bare()
        good = _snapshot(self.model)
        if not self._is_finite(self._pretraining_epoch(1), 1, kept=0):
            self.model.load_state_dict(good)
        self.model.centre_latents(self.X, self.weight)

    def start(self) -> None:
        """Make optimizers for a model whose codebooks are in place."""
        self._optimizers = self.model.codebooks.split(
            self._network(), self.settings.learning_rate
        )

    def run(self, n_epochs: int, *, trained: bool = False) -> History:
        """Train until nothing improves, at most `n_epochs`; keep the best weights.

        Those that a `trained` model starts with are among them.
        """
        history = History(validation_errors=[] if self.validation else None)
        self.start()
        best, lowest, stalled = _snapshot(self.model), float("inf"), 0
        if trained:
            lowest = self._present_error()
        try:
            for epoch in range(1, n_epochs + 1):
                if self.stopped:
                    break
                self.observer.begin()
                self.model.bottleneck.anneal((epoch - 1) / max(1, n_epochs - 1))
                loss, training_error, last = self._epoch(epoch)
                # the reconstruction decides: the quantization losses rise for a while
                # as the encoder spreads its latents, and that is no failure
                error = training_error
                if self.validation is not None:
                    error = self._error(*self.validation)
                if not self._is_finite(loss + error, epoch, kept=history.best_epoch):
                    break
                history.loss_curve.append(loss)
                history.training_errors.append(training_error)
                if history.validation_errors is not None:
                    history.validation_errors.append(error)
                stalled = 0 if error < lowest - self.settings.tol else stalled + 1
                if error < lowest:
                    best, lowest = _snapshot(self.model), error
                    history.best_epoch = epoch
                if self.observer.end(history):
                    break
                if stalled >= self.settings.n_iter_no_change:
                    break
                self._revive(last)
        except KeyboardInterrupt:
            self._stop(
                "Training was interrupted; the weights of epoch "
                f"{history.best_epoch} are kept."
            )
        self.model.load_state_dict(best)
        return history

    def one_pass(self, history: History) -> History:
        """Train for one epoch, unless it diverges, and add it to a history."""
        good, done = _snapshot(self.model), len(history.loss_curve)
        loss, error, last = self._epoch(done + 1)
        if self._is_finite(loss + error, done + 1, kept=done):
            history.loss_curve.append(loss)
            history.training_errors.append(error)
            self._revive(last)
        else:
            self.model.load_state_dict(good)
        return history

    def state(self) -> dict[str, NDArray[Any]]:
        """Return codebooks and optimizers as arrays, from which to go on exactly."""
        arrays = {
            name: value.detach().cpu().numpy().copy()
            for name, value in self.model.state_dict().items()
            if name.startswith("codebooks")
        }
        for i, optimizer in enumerate(self._optimizers):
            arrays |= optimizer_arrays(optimizer, f"optimizers.{i}.")
        return arrays

    def load_state(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave; the model's codebooks have been started."""
        books = {
            name: torch.from_numpy(np.array(array))
            for name, array in arrays.items()
            if name.startswith("codebooks")
        }
        self.model.load_state_dict(books, strict=False)
        self.start()
        for i, optimizer in enumerate(self._optimizers):
            load_optimizer_arrays(optimizer, arrays, f"optimizers.{i}.")

    def _is_finite(self, measure: float, epoch: int, kept: int) -> bool:
        """Whether the loss and every weight are finite; if not, say so and stop."""
        weights = self.model.parameters()
        if math.isfinite(measure) and all(torch.isfinite(w).all() for w in weights):
            return True
        self._stop(
            f"The loss is {measure} after epoch {epoch}, or a weight overflowed; "
            f"training stops with the weights of epoch {kept}. Lower learning_rate."
        )
        return False

    def _stop(self, reason: str) -> None:
        self.stopped = True
        warn_user(reason)

    def _pretraining_epoch(self, number: int) -> float:
        total = torch.zeros((), device=self.X.device, dtype=self.model.dtype)
        self.model.train()
        with self._own_generator(number):
            for rows in self._batches():
                loss = self.model.pretraining_loss(*_take(self.training, rows))
                self._step(loss)
                total += loss.detach()
        return float(total)

    def _own_generator(self, number: int) -> Any:
        """Return a context for an epoch: users' layers may draw from torch's own."""
        if not self.model.draws:
            return contextlib.nullcontext()
        return seeded((self.settings.seed + number) % 2**31, self.X.device)

    def _step(self, loss: torch.Tensor) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # not in a network that is all frozen
            loss.backward()
        for optimizer in self._optimizers:
            optimizer.step()

    def _network(self) -> list[torch.nn.Parameter]:
        return [
            weight
            for name, weight in self.model.named_parameters()
            if not name.startswith("codebooks") and weight.requires_grad
        ]

    def _start_bare(self) -> None:
        network = self._network()
        rate = self.settings.learning_rate
        self._optimizers = [adamw(network, rate)] if network else []

    def _batches(self) -> tuple[torch.Tensor, ...]:
        """Return the rows of shuffled batches of nearly equal size."""
        n = len(self.X)
        order = torch.randperm(n, generator=self._generator).to(self.X.device)
        return torch.tensor_split(order, -(-n // self.settings.batch_size))

    def _epoch(self, number: int) -> tuple[float, float, Passed]:
        """Take one pass over the data in shuffled batches of nearly equal size."""
        model = self.model
        self._counts = [
            torch.zeros(len(level), device=self.X.device, dtype=torch.int64)
            for level in model.codebooks.levels
        ]
        sums = torch.zeros(2, device=self.X.device, dtype=model.point_dtype)
        model.train()
        with self._own_generator(number):
            for rows in self._batches():
                losses, passed = self._train_on(rows)
                pair = torch.stack([losses.total.detach(), losses.error])
                sums += pair * (len(rows) / len(self.X))
        loss, error = sums.tolist()
        if self._draws:  # their luck may not decide
            error = self._error_in_use()
        return loss, error, passed

    def _train_on(self, rows: torch.Tensor) -> tuple[Losses, Passed]:
        """Take one step on a batch, and count the codes that it used."""
        batch = _take(self.training, rows)
        losses, passed = self.model.losses(*batch)
        self._step(losses.total)
        weight = self.model.of_points(batch[1])
        self.model.codebooks.after_step(passed.codes, passed.residuals, weight)
        for count, codes in zip(self._counts, passed.codes, strict=True):
            count += torch.bincount(codes, minlength=len(count))
        return losses, passed

    def _present_error(self) -> float:
        """Return the error of the rows that decide, taken as an epoch takes it."""
        if self.validation is not None:
            return self._error(*self.validation)
        if self._draws:
            return self._error_in_use()
        # codes may be balanced there, and have a larger error than those of any use
        with self._own_generator(0):
            return self._error(*self.training, train=True)

    @property
    def _draws(self) -> bool:
        return self.model.bottleneck.draw is not None

    def _error_in_use(self) -> float:
        # rows come in the order of a hash, so that the first ones are a fair sample
        return self._error(*(part[:DECIDING_ROWS] for part in self.training))

    @torch.no_grad()
    def _error(
        self, X: torch.Tensor, weight: torch.Tensor, *target: Any, train: bool = False
    ) -> float:
        """Return the error of rows, as the model encodes them in use or in training."""
        self.model.train(train)
        error = 0.0
        n_rows = self.model.evaluation_rows
        parts = (torch.split(t, n_rows) for t in (X, weight, *target))
        for x, w, *t in zip(*parts, strict=True):
            error += float(torch.sum(w * self.model.evaluate(x, *t)))
        return error / float(weight.sum())

    def _revive(self, last: Passed) -> None:
        """Move codes that an epoch has not used onto residuals of its last batch."""
        if self.model.bottleneck.revives:
            self.model.codebooks.revive_unused(
                self._counts, last.residuals, self._generator, self._optimizers
            )


def _snapshot(model: torch.nn.Module) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())


def _take(
    tensors: tuple[torch.Tensor, ...], rows: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    return tuple(tensor[rows] for tensor in tensors)
