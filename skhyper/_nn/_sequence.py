"""A causal transformer over columns of tokens, and a loop that trains transformers."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lr_scheduler import LinearLR

from skhyper._nn._optimizers import load_optimizer_arrays, optimizer_arrays
from skhyper._nn._runtime import (
    INFERENCE_ROWS,
    apply_in_blocks,
    resolve_precision,
    seeded,
    to_tensor,
)
from skhyper._nn._train import History, Observer, Settings, _NoObserver
from skhyper._nn._transformer import CodeModel, Past
from skhyper._utils._warn import warn_user

# rows of several lengths are sorted by length within so many shuffled batches: with 50
# a batch of 256 histories has 5 % of padding, and unsorted two thirds
POOL_BATCHES = 50


class Rows(Protocol):
    """Rows that are made when they are asked for, as wide as the longest of them.

    `lengths` says how long each is.
    """

    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return some of the rows, as the columns of an array."""


class CodeTransformer(CodeModel):
    """The distribution of each token given those in the columns before it.

    Its parameters are those of a `CodeModel`.

    References
    ----------
    A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019,
    Section 2.3: normalisation before each part of a block, and after the last.
    """

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token given those before it."""
        x = self._inputs(codes)
        for block in self.blocks:
            x = block(x)
        return self._losses(x, codes)

    def sample(
        self, plan: NDArray[np.float64], n_given: int, temperature: float
    ) -> NDArray[np.int64]:
        """Return codes, drawn a column at a time.

        Parameters
        ----------
        plan : float64 array (n, n_columns)
            Tokens in the first `n_given` columns. In the others the uniform numbers
            that tokens are drawn by, so that a row depends on its own numbers alone.
        n_given : int
            Number of columns that are given.
        temperature : float
            Divides the logits.
        """
        self.eval()
        draw = partial(self._draw, n_given=n_given, temperature=temperature)
        return apply_in_blocks(draw, plan, torch.float64, torch.device("cpu"))

    def _draw(
        self, plan: torch.Tensor, n_given: int, temperature: float
    ) -> torch.Tensor:
        pasts = [Past(self.n_columns) for _ in self.blocks]
        codes = plan.to(torch.int64)
        for column in range(self.n_columns):
            x = self._input(column, codes[:, column - 1])
            for block, past in zip(self.blocks, pasts, strict=True):
                x = block(x, past)
            if column >= n_given:
                logits = self._logits(column, x[:, 0])
                codes[:, column] = _invert(logits, plan[:, column], temperature)
        return codes


def _invert(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return the tokens at which the distribution function passes `uniform`."""
    logits = logits.cpu().to(torch.float64)  # some devices have no float64
    top = logits.amax(dim=1, keepdim=True)
    total = torch.exp((logits - top) / temperature).cumsum(dim=1)
    target = uniform[:, None] * total[:, -1:]
    return torch.searchsorted(total, target, right=True)[:, 0]


class SequenceTrainer:
    """Fit a `CodeModel` by maximum likelihood.

    Parameters
    ----------
    model : CodeModel
        The network.
    training : array (n, n_columns) or Rows, and array (n,)
        Codes and their weights.
    settings : Settings
        Hyper-parameters.
    observer : Observer, optional
        Told of every epoch.
    validation : the same, optional
        Codes and weights whose loss then decides.
    """

    def __init__(
        self,
        model: CodeModel,
        training: tuple[NDArray[Any] | Rows, NDArray[Any]],
        settings: Settings,
        observer: Observer | None = None,
        validation: tuple[NDArray[Any] | Rows, NDArray[Any]] | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.observer = observer or _NoObserver()
        self.training = self._weighed(*training)
        self.validation = None if validation is None else self._weighed(*validation)
        codes, self._groups, self._lengths = training[0], None, None
        if isinstance(codes, np.ndarray):
            self._groups = model.groups(to_tensor(codes, torch.int64, model.device))
        else:
            self._lengths = torch.from_numpy(codes.lengths)
        self._precision = resolve_precision(settings.precision, model.device)
        # on the CPU, so that a seed shuffles the same way on every device
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._optimizers = model.optimizers(settings.learning_rate)
        self._schedules: list[LinearLR] = []

    def run(self, n_epochs: int) -> History:
        """Train until nothing improves, at most `n_epochs`; keep the best weights."""
        history = History(validation_errors=[] if self.validation else None)
        best, lowest, stalled = self._snapshot(), float("inf"), 0
        if self.settings.schedule == "linear":
            n_steps = n_epochs * self._n_batches
            self._schedules = [
                LinearLR(optimizer, 1.0, 0.0, n_steps) for optimizer in self._optimizers
            ]
        try:
            for epoch in range(1, n_epochs + 1):
                self.observer.begin()
                loss = error = self._epoch(epoch)
                if self.validation is not None:
                    error = self._error(*self.validation)
                if not self._is_finite(loss + error, epoch, history.best_epoch):
                    break
                history.loss_curve.append(loss)
                history.training_errors.append(loss)
                if history.validation_errors is not None:
                    history.validation_errors.append(error)
                stalled = 0 if error < lowest - self.settings.tol else stalled + 1
                if error < lowest:
                    best, lowest = self._snapshot(), error
                    history.best_epoch = epoch
                if self.observer.end(history):
                    break
                if stalled >= self.settings.n_iter_no_change:
                    break
        except KeyboardInterrupt:
            warn_user(
                "Training was interrupted; the weights of epoch "
                f"{history.best_epoch} are kept."
            )
        self.model.load_state_dict(best)
        return history

    def one_pass(self, history: History) -> History:
        """Train for one epoch, unless it diverges, and add it to a history."""
        good, done = self._snapshot(), len(history.loss_curve)
        loss = self._epoch(done + 1)
        if self._is_finite(loss, done + 1, kept=done):
            history.loss_curve.append(loss)
        else:
            self.model.load_state_dict(good)
        return history

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the optimizers know as arrays, from which to go on exactly."""
        arrays: dict[str, NDArray[Any]] = {}
        for i, optimizer in enumerate(self._optimizers):
            arrays |= optimizer_arrays(optimizer, f"{i}.")
        return arrays

    def load_state(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        for i, optimizer in enumerate(self._optimizers):
            load_optimizer_arrays(optimizer, arrays, f"{i}.")

    def _weighed(
        self, codes: NDArray[Any] | Rows, weight: NDArray[Any]
    ) -> tuple[NDArray[Any] | Rows, torch.Tensor]:
        """Return codes, and weights of mean 1 on the model's device."""
        weight = weight / weight.mean()
        return codes, to_tensor(weight, torch.float32, self.model.device)

    def _nats(self, codes: NDArray[Any] | Rows, rows: NDArray[Any]) -> torch.Tensor:
        """Return the mean over the tokens of each of some rows."""
        some = to_tensor(codes[rows], torch.int64, self.model.device)
        return self.model.nats(some).mean(dim=1)

    def _epoch(self, number: int) -> float:
        """Take one pass over shuffled batches of nearly equal size."""
        codes, weight = self.training
        total = torch.zeros((), device=self.model.device)
        self.model.train()
        with self._own_generator(number):
            for rows in self._batches():
                with self._products():
                    nats = self._nats(codes, rows.numpy())
                loss = torch.mean(weight[rows.to(weight.device)] * nats)
                self.model.zero_grad(set_to_none=True)
                loss.backward()
                self._clip()
                for optimizer in self._optimizers:
                    optimizer.step()
                for schedule in self._schedules:
                    schedule.step()
                total += loss.detach() * (len(rows) / len(codes))
        return float(total)

    @property
    def _n_batches(self) -> int:
        return -(-len(self.training[0]) // self.settings.batch_size)

    def _batches(self) -> Sequence[torch.Tensor]:
        """Return the rows of each batch: in random order, of like lengths if any."""
        order, n_batches = self._order(), self._n_batches
        if self._lengths is None:
            return order.tensor_split(n_batches)
        pool = torch.arange(len(order)) // (POOL_BATCHES * self.settings.batch_size)
        place = pool * (self._lengths.max() + 1) + self._lengths[order]
        batches = order[place.argsort(stable=True)].tensor_split(n_batches)
        drawn = torch.randperm(n_batches, generator=self._generator)
        return [batches[i] for i in drawn.tolist()]

    def _order(self) -> torch.Tensor:
        """Return all rows in random order, but those of a group as neighbours."""
        n_rows = len(self.training[0])
        order = torch.randperm(n_rows, generator=self._generator)
        if self._groups is None:
            return order
        place = torch.randperm(int(self._groups.max()) + 1, generator=self._generator)
        return order[place[self._groups[order]].argsort(stable=True)]

    def _clip(self) -> None:
        """Cut the gradient where it is too long, as the model asks."""
        if self.model.max_gradient is not None:
            torch.nn.utils.clip_grad_norm_(
                self.model.parameters(), self.model.max_gradient
            )

    def _products(self) -> Any:
        """Return a context in which matrices are multiplied as the settings ask."""
        lower = self._precision != torch.float32
        device = self.model.device.type
        return torch.autocast(device, self._precision) if lower else nullcontext()

    def _own_generator(self, number: int) -> Any:
        """Return a context for an epoch: dropout draws from torch's own generator."""
        if not self.model.draws:
            return nullcontext()
        return seeded((self.settings.seed + number) % 2**31, self.model.device)

    @torch.no_grad()
    def _error(self, codes: NDArray[Any] | Rows, weight: torch.Tensor) -> float:
        """Return the loss of rows that are not trained on."""
        self.model.eval()
        total = sum(
            float(weight[rows.to(weight.device)] @ self._nats(codes, rows.numpy()))
            for rows in torch.arange(len(codes)).split(INFERENCE_ROWS)
        )
        return total / len(codes)

    def _is_finite(self, measure: float, epoch: int, kept: int) -> bool:
        """Whether the loss and every weight are finite; if not, say so."""
        weights = self.model.parameters()
        if math.isfinite(measure) and all(torch.isfinite(w).all() for w in weights):
            return True
        warn_user(
            f"The loss is {measure} after epoch {epoch}, or a weight overflowed; "
            f"training stops with the weights of epoch {kept}. Lower learning_rate."
        )
        return False

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy(self.model.state_dict())
