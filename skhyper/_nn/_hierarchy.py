"""Training one point a node on the pairs of a hierarchy, with codes or without."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from skhyper._nn._bottleneck import Bottleneck
from skhyper._nn._codebooks import Codebooks
from skhyper._nn._node_table import NodeTable
from skhyper._nn._pairs import KnownPairs, pair_gradient
from skhyper._nn._train import History, Observer
from skhyper._utils._warn import warn_user

# share of the learning rate in the first epochs, in which points find their angles
BURN_IN_SHARE = 0.01


@dataclass
class PairSettings:
    """What the loop needs of an estimator's parameters."""

    n_negatives: int
    batch_size: int
    learning_rate: float
    burn_in: int
    seed: int
    code_rate: float = 0.0  # the learning rate of codes, where there are any


class PairTrainer:
    """Pull nodes to their ancestors, and away from others.

    Parameters
    ----------
    table : NodeTable
        The points.
    pairs : int64 tensor of shape (n_pairs, 2)
        Node and ancestor, on the device of the table.
    settings : PairSettings
        Hyper-parameters.
    observer : Observer
        Told of every epoch.
    """

    def __init__(
        self,
        table: NodeTable,
        pairs: torch.Tensor,
        settings: PairSettings,
        observer: Observer,
    ) -> None:
        self.table, self.pairs, self.settings = table, pairs, settings
        self.observer = observer
        self.n_nodes = len(table.parameter)
        self.known = KnownPairs(pairs, self.n_nodes)
        # on the CPU, so that a seed draws the same on every device
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.optimizer = table.optimizer(settings.learning_rate)

    def run(self, n_epochs: int) -> History:
        """Train for a number of epochs, unless a callback or the user ends it."""
        history = History()
        good = self._snapshot()
        try:
            for epoch in range(n_epochs):
                self.observer.begin()
                self._begin(epoch, n_epochs)
                loss = self._epoch()
                if not math.isfinite(loss) or not self._is_finite():
                    warn_user(
                        f"The loss is {loss} after epoch {epoch + 1}, or a point "
                        "overflowed; training stops with the points of epoch "
                        f"{epoch}. Lower learning_rate."
                    )
                    break
                good = self._snapshot()
                history.loss_curve.append(loss)
                history.training_errors.append(loss)
                history.complete = self._is_whole()
                if self.observer.end(history):
                    break
        except KeyboardInterrupt:
            warn_user(
                "Training was interrupted; the points of epoch "
                f"{len(history.loss_curve)} are kept."
            )
        self._restore(good)
        self._complete()
        history.complete = True
        return history

    def _is_whole(self) -> bool:
        """Whether all that is to be learnt is there."""
        return True

    def _complete(self) -> None:
        """Add what an early end has left out."""

    def _begin(self, epoch: int, n_epochs: int) -> None:
        """Set the learning rate: small at first, then falling linearly to nothing."""
        settings = self.settings
        share = BURN_IN_SHARE
        if epoch >= settings.burn_in:
            share = (n_epochs - epoch) / max(1, n_epochs - settings.burn_in)
        self._set_rates(share)

    def _set_rates(self, share: float) -> None:
        self.optimizer.param_groups[0]["lr"] = share * self.settings.learning_rate

    def _epoch(self) -> float:
        total = 0.0
        n_pairs = len(self.pairs)
        order = torch.randperm(n_pairs, generator=self._generator).to(self.pairs.device)
        n_batches = -(-n_pairs // self.settings.batch_size)
        for rows in torch.tensor_split(order, n_batches):
            total += self._step(self.pairs[rows]) * (len(rows) / n_pairs)
        return total

    def _step(self, pairs: torch.Tensor) -> float:
        """Take one step on a batch of pairs, and return its loss."""
        points = self.table.points()
        loss, gradient = self._contrast(points, pairs)
        self.table.pull_back(points, gradient)
        self.optimizer.step()
        self.table.after_step()
        return float(loss)

    def _contrast(
        self, points: torch.Tensor, pairs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        heads, true = pairs[:, 0], pairs[:, 1:]
        size = (len(pairs), self.settings.n_negatives)
        drawn = torch.randint(self.n_nodes, size, generator=self._generator)
        drawn = drawn.to(pairs.device)
        excluded = torch.cat(
            [torch.zeros_like(true, dtype=torch.bool), self.known(heads, drawn)], dim=1
        )
        tails = torch.cat([true, drawn], dim=1)
        return pair_gradient(self.table.manifold, points, heads, tails, excluded)

    def _is_finite(self) -> bool:
        return bool(torch.isfinite(self.table.parameter).all())

    def _snapshot(self) -> Any:
        return self.table.parameter.detach().clone()

    @torch.no_grad()
    def _restore(self, good: Any) -> None:
        self.table.parameter.copy_(good)


class CodedTrainer(PairTrainer):
    """Learn codes together with the points.

    The points are trained alone at first; then the codes start on them. From there on
    the losses of codes and points (Piekos et al. 2025, Section 4.1) are added for both
    nodes of each pair.

    Parameters
    ----------
    table, pairs, settings, observer
        As of `PairTrainer`.
    bottleneck : Bottleneck
        The rule of the codes.
    first_codes : callable
        Gives the codebooks, as tangent vectors, for the tangent vectors of all nodes.
    n_alone : int
        Epochs before the codes start.
    """

    def __init__(
        self,
        table: NodeTable,
        pairs: torch.Tensor,
        settings: PairSettings,
        observer: Observer,
        *,
        bottleneck: Bottleneck,
        first_codes: Callable[[NDArray[Any]], list[NDArray[Any]]],
        n_alone: int,
    ) -> None:
        super().__init__(table, pairs, settings, observer)
        self.bottleneck, self.first_codes = bottleneck, first_codes
        self.n_alone = n_alone
        self._optimizers: Sequence[torch.optim.Optimizer] = []

    @property
    def codebooks(self) -> Codebooks:
        """The codes of all levels."""
        return self.bottleneck.codebooks

    def _begin(self, epoch: int, n_epochs: int) -> None:
        if epoch == self.n_alone:
            self._start_codes()
        elif epoch > self.n_alone:
            self.codebooks.revive_unused(
                self._counts, self._last.residuals, self._generator, self._optimizers
            )
        super()._begin(epoch, n_epochs)

    def _set_rates(self, share: float) -> None:
        super()._set_rates(share)
        for optimizer in self._optimizers:
            optimizer.param_groups[0]["lr"] = share * self.settings.code_rate

    def _is_whole(self) -> bool:
        return len(self.codebooks.levels) > 0

    def _complete(self) -> None:
        if not self._is_whole():
            self._start_codes()

    def _start_codes(self) -> None:
        tangents = self.table.tangents()
        found = self.first_codes(tangents.cpu().numpy())
        self.codebooks.start(found, tangents.dtype, tangents.device)
        self._optimizers = self.codebooks.split([], self.settings.code_rate)

    def _epoch(self) -> float:
        self._counts = [
            torch.zeros(len(level), dtype=torch.int64, device=level.device)
            for level in self.codebooks.levels
        ]
        return super()._epoch()

    def _step(self, pairs: torch.Tensor) -> float:
        if not self._is_whole():
            return super()._step(pairs)
        points = self.table.points()
        loss, at_points = self._contrast(points, pairs)
        quantization, at_tangents = self._quantize(pairs.reshape(-1))
        self.table.pull_back(points, at_points, at_tangents)
        self.optimizer.step()
        self.table.after_step()
        return float(loss) + quantization

    def _quantize(self, rows: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Train the codes on the points of rows; return the loss and its gradient."""
        u = self.table.tangents(rows).requires_grad_()
        weight = torch.ones(len(rows), dtype=u.dtype, device=u.device)
        passed = self.bottleneck(u, u[:, :0], weight, True)
        # the mean of a pair is over its two nodes
        loss = 2.0 * passed.losses.mean()
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self._optimizers:
            optimizer.step()
        self.codebooks.after_step(passed.codes, passed.residuals, weight)
        for count, codes in zip(self._counts, passed.codes, strict=True):
            count += torch.bincount(codes, minlength=len(count))
        self._last = passed
        gradient = u.new_zeros(self.n_nodes, u.shape[1])
        if u.grad is not None:
            gradient.index_add_(0, rows, u.grad)
        return float(loss.detach()), gradient

    def _is_finite(self) -> bool:
        levels = self.codebooks.levels
        return super()._is_finite() and all(
            bool(torch.isfinite(level).all()) for level in levels
        )

    def _snapshot(self) -> Any:
        return super()._snapshot(), copy.deepcopy(self.codebooks.state_dict())

    def _restore(self, good: Any) -> None:
        points, codes = good
        super()._restore(points)
        if codes:
            self.codebooks.load_state_dict(codes)
        else:  # codes that did not survive their first epoch start again
            self.codebooks.levels = torch.nn.ParameterList()
