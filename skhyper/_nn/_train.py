"""The training loop: epochs, best weights, dead codes, early stopping."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from skhyper._nn._model import EVALUATION_ROWS, Quantized, ResidualAutoencoder

Report = Callable[[dict[str, float]], None]


@dataclass
class Settings:
    """What the loop needs of an estimator's parameters."""

    max_iter: int
    batch_size: int
    learning_rate: float
    commitment_weight: float
    n_iter_no_change: int
    tol: float
    seed: int


@dataclass
class History:
    """What the loop leaves behind."""

    loss_curve: list[float] = field(default_factory=list)
    training_errors: list[float] = field(default_factory=list)
    validation_errors: list[float] = field(default_factory=list)
    best_epoch: int = 0


class Trainer:
    """Fit a `ResidualAutoencoder`.

    Parameters
    ----------
    model : ResidualAutoencoder
        With its codebooks in place.
    training : pair of tensors (n, n_features) and (n,)
        Rows and their weights, of mean 1, on the model's device.
    settings : Settings
        Hyper-parameters.
    validation : pair of tensors, optional
        Rows and weights whose reconstruction error then decides.
    """

    def __init__(
        self,
        model: ResidualAutoencoder,
        training: tuple[torch.Tensor, torch.Tensor],
        settings: Settings,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self.model, (self.X, self.weight) = model, training
        self.settings, self.validation = settings, validation
        # on the CPU, so that a seed shuffles the same way on every device
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.stopped = False

    def pretrain(self, n_epochs: int) -> None:
        """Train the bare autoencoder, then centre its latents.

        Codebooks that start on the latents of an untrained encoder hold it back.
        """
        self._optimizer = self._make_optimizer(self._network())
        good = _snapshot(self.model)
        try:
            for epoch in range(1, n_epochs + 1):
                if not self._is_finite(
                    self._pretraining_epoch(), epoch, kept=epoch - 1
                ):
                    break
                good = _snapshot(self.model)
        except KeyboardInterrupt:
            self._stop("Pretraining was interrupted; the network is kept as it is.")
        self.model.load_state_dict(good)
        self.model.centre_latents(self.X, self.weight)

    def run(self, report: Report | None = None) -> History:
        """Train until `max_iter` or until nothing improves; keep the best weights."""
        history = History()
        self._optimizer = self._make_optimizer(self.model.parameters())
        best, lowest, stalled = _snapshot(self.model), float("inf"), 0
        try:
            for epoch in range(1, self.settings.max_iter + 1):
                if self.stopped:
                    break
                loss, training_error, last = self._epoch()
                validation_error = self._validate()
                # the reconstruction decides: the quantization losses rise for a while
                # as the encoder spreads its latents, and that is no failure
                error = training_error if validation_error is None else validation_error
                if not self._is_finite(loss + error, epoch, kept=history.best_epoch):
                    break
                history.loss_curve.append(loss)
                history.training_errors.append(training_error)
                if validation_error is not None:
                    history.validation_errors.append(validation_error)
                stalled = 0 if error < lowest - self.settings.tol else stalled + 1
                if error < lowest:
                    best, lowest = _snapshot(self.model), error
                    history.best_epoch = epoch
                if report is not None:
                    report({"epoch": epoch, "loss": loss, "error": error})
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

    def _make_optimizer(
        self, parameters: Iterable[torch.nn.Parameter]
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters, lr=self.settings.learning_rate, weight_decay=0.0
        )

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
        warnings.warn(reason, UserWarning, stacklevel=5)

    def _pretraining_epoch(self) -> float:
        total = torch.zeros((), device=self.X.device, dtype=self.model.dtype)
        self.model.train()
        for rows in self._batches():
            x = self.X[rows]
            error = torch.mean((x - self.model.autoencode(x)) ** 2, dim=-1)
            loss = torch.mean(self.weight[rows] * error)
            self._step(loss)
            total += loss.detach()
        return float(total)

    def _step(self, loss: torch.Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

    def _network(self) -> list[torch.nn.Parameter]:
        return [*self.model.encoder.parameters(), *self.model.decoder.parameters()]

    def _batches(self) -> tuple[torch.Tensor, ...]:
        """Return the rows of shuffled batches of nearly equal size."""
        n = len(self.X)
        order = torch.randperm(n, generator=self._generator).to(self.X.device)
        return torch.tensor_split(order, -(-n // self.settings.batch_size))

    def _epoch(self) -> tuple[float, float, Quantized]:
        """Take one pass over the data in shuffled batches of nearly equal size."""
        self._counts = [
            torch.zeros(len(codebook), device=self.X.device, dtype=torch.int64)
            for codebook in self.model.codebooks
        ]
        sums = torch.zeros(2, device=self.X.device, dtype=self.model.point_dtype)
        self.model.train()
        for rows in self._batches():
            losses, quantized = self.model.losses(
                self.X[rows], self.weight[rows], self.settings.commitment_weight
            )
            self._step(losses.total)
            self.model.confine()
            for count, codes in zip(self._counts, quantized.codes, strict=True):
                count += torch.bincount(codes, minlength=len(count))
            pair = torch.stack([losses.total.detach(), losses.reconstruction])
            sums += pair * (len(rows) / len(self.X))
        loss, error = sums.tolist()
        return loss, error, quantized

    @torch.no_grad()
    def _validate(self) -> float | None:
        """Return the reconstruction error of the validation rows, if there are any."""
        if self.validation is None:
            return None
        self.model.eval()
        X, weight = self.validation
        error = 0.0
        parts = (torch.split(t, EVALUATION_ROWS) for t in (X, weight))
        for x, w in zip(*parts, strict=True):
            x_hat = self.model.reconstruct(x)
            error += float(torch.sum(w * torch.mean((x - x_hat) ** 2, dim=-1)))
        return error / float(weight.sum())

    @torch.no_grad()
    def _revive(self, last: Quantized) -> None:
        """Move codes that an epoch has not used onto residuals of its last batch."""
        for codebook, count, residual in zip(
            self.model.codebooks, self._counts, last.residuals, strict=True
        ):
            dead = torch.nonzero(count == 0)[:, 0]
            if len(dead) == 0:
                continue
            drawn = torch.randint(
                len(residual), (len(dead),), generator=self._generator
            ).to(residual.device)
            codebook[dead] = self.model.manifold.logmap0(residual[drawn]).to(
                codebook.dtype
            )
            state = self._optimizer.state.get(codebook, {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    state[moment][dead] = 0.0


def _snapshot(model: torch.nn.Module) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())
