"""The bottleneck of HyperVQ: codes are the classes of a hyperbolic regression."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skhyper._nn._bottleneck import Bottleneck, Passed
from skhyper._nn._codebooks import Codebooks, Optimizers, adamw
from skhyper.manifolds._hyperplanes import hyperplane_logits
from skhyper.manifolds._ops import direction
from skhyper.manifolds._residual import RESIDUAL_RULES

Draw = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]

# Gains start at this many times the offsets. In flat space and at 2 the choice would be
# k-means' with a variance of 1; latents of mean square length 1 are far nearer to
# their codes than that.
SHARPNESS = 10.0

# gains of codes at the origin, which have no offset
SMALLEST_OFFSET = 0.05


class HyperplaneCodebooks(Codebooks):
    """Hyperplanes, held as the tangent vectors of their representatives, and gains.

    The vector's direction is the normal of the hyperplane, and its length the offset,
    so that no offset falls below 0. Gains are held as logarithms.
    """

    def __init__(self, manifold: Any) -> None:
        super().__init__(manifold)
        self.log_gains = nn.ParameterList()

    def start(
        self, tangents: Sequence[NDArray[Any]], dtype: Any, device: torch.device
    ) -> None:
        """Start from the given tangent vectors, one array a level."""
        super().start(tangents, dtype, device)
        self.log_gains = nn.ParameterList(
            nn.Parameter(_first_log_gains(level.detach())) for level in self.levels
        )

    def gains(self) -> list[NDArray[np.float64]]:
        """Return the gains of each level, in NumPy."""
        return [
            torch.exp(log_gain.detach()).cpu().numpy().astype(np.float64)
            for log_gain in self.log_gains
        ]

    @torch.no_grad()
    def set_gains(self, gains: Sequence[NDArray[np.float64]]) -> None:
        """Take over what `gains` gave."""
        for log_gain, values in zip(self.log_gains, gains, strict=True):
            log_gain.copy_(torch.log(torch.tensor(values)))

    def split(
        self, network: list[nn.Parameter], learning_rate: float
    ) -> list[torch.optim.Optimizer]:
        """Return the optimizer of the network, the codes and the gains."""
        return [adamw([*network, *self.levels, *self.log_gains], learning_rate)]

    def logits(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, n_codes) of points."""
        tangents, gains = self.levels[level], torch.exp(self.log_gains[level])
        offsets = torch.linalg.vector_norm(tangents, dim=-1)
        normals = direction(torch, tangents)
        return hyperplane_logits(self.manifold, x, normals, offsets, gains)

    @torch.no_grad()
    def revive(
        self, level: int, dead: torch.Tensor, points: torch.Tensor, used: Optimizers
    ) -> None:
        """Move the hyperplanes `dead` of a level halfway to `points`."""
        halfway = self.manifold.expmap0(0.5 * self.manifold.logmap0(points))
        super().revive(level, dead, halfway, used)
        log_gains = self.log_gains[level]
        log_gains[dead] = _first_log_gains(self.levels[level][dead])
        for optimizer in used:
            state = optimizer.state.get(log_gains, {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    state[moment][dead] = 0.0


def _first_log_gains(tangents: torch.Tensor) -> torch.Tensor:
    offsets = torch.linalg.vector_norm(tangents, dim=-1)
    return torch.log(SHARPNESS * offsets.clamp(min=SMALLEST_OFFSET))


class Hyperplanes(Bottleneck):
    """Levels whose codes are drawn by their logits, and learn with the encoder.

    Parameters
    ----------
    manifold : PoincareBall
        Where latents and codes live.
    gradient : {"exact", "reinmax", "gumbel"}
        How the gradient passes the draw of a code; "exact" has no draw, but the mean
        over all codes, and needs a single level.
    temperatures : pair of float
        Of the draw at the start and at the end of training.
    entropy_weight : float
        Weight of the loss that falls as the codes of a batch are wanted more evenly.
    """

    def __init__(
        self,
        manifold: Any,
        *,
        gradient: str,
        temperatures: tuple[float, float],
        entropy_weight: float,
    ) -> None:
        codebooks = HyperplaneCodebooks(manifold)
        super().__init__(manifold, codebooks)
        self.planes, self.rule = codebooks, RESIDUAL_RULES["exact"]
        self.draw = DRAWS.get(gradient)
        self.temperatures, self.temperature = temperatures, temperatures[0]
        self.entropy_weight = entropy_weight

    def anneal(self, share: float) -> None:
        """Lower the temperature, by the same factor every epoch."""
        start, end = self.temperatures
        self.temperature = start * (end / start) ** share

    def __call__(
        self, u: torch.Tensor, extra: torch.Tensor, weight: torch.Tensor, train: bool
    ) -> Passed:
        """Quantize tangent latents; gradients go through the logits of every level."""
        if train and self.draw is None:
            return self._weigh(u, weight)
        codes, residuals, chosen, losses = [], [], [], []
        rest = self.manifold.expmap0(u)
        for level, tangents in enumerate(self.planes.levels):
            logits = self.planes.logits(level, rest)
            taken = self._draw(logits) if train else _hard(logits)
            chosen.append(self.manifold.expmap0(taken @ tangents))
            codes.append(logits.detach().argmax(dim=-1))
            residuals.append(rest.detach())
            losses.append(unevenness(logits / self.temperature, weight))
            if level + 1 < len(self.planes.levels):
                rest = self.rule.subtract(self.manifold, rest, chosen[-1].detach())
        tangents = self.manifold.logmap0(self.rule.fold(self.manifold, chosen))
        loss = self.entropy_weight * torch.stack(losses).mean()
        return Passed(tangents, loss, codes, residuals)

    def _weigh(self, u: torch.Tensor, weight: torch.Tensor) -> Passed:
        """Return all codes of the only level with their probabilities."""
        z = self.manifold.expmap0(u)
        logits, (tangents,) = self.planes.logits(0, z), self.planes.levels
        proba = torch.softmax(logits / self.temperature, dim=-1)
        loss = self.entropy_weight * unevenness(logits / self.temperature, weight)
        codes = logits.detach().argmax(dim=-1)
        mixture = proba, tangents
        return Passed(tangents[codes], loss, [codes], [z.detach()], mixture)

    def _draw(self, logits: torch.Tensor) -> torch.Tensor:
        """Return codes drawn by their logits, with a gradient."""
        assert self.draw is not None
        waits = torch.empty(logits.shape, dtype=logits.dtype)
        waits = waits.exponential_(generator=self.generator).to(logits.device)
        return self.draw(logits, -torch.log(waits), self.temperature)


def _hard(scores: torch.Tensor) -> torch.Tensor:
    """Return rows with a 1 at the largest score."""
    best = scores.argmax(dim=-1, keepdim=True)
    return torch.zeros_like(scores).scatter_(-1, best, 1.0)


def unevenness(logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return what the mean row of probabilities lacks of the largest entropy.

    It is 0 for codes that are equally wanted, and 1 for a single one.
    """
    share = (weight / weight.sum())[:, None]
    mean = torch.sum(share * torch.softmax(logits, dim=-1), dim=0)
    entropy = -torch.sum(mean * torch.log(mean.clamp(min=torch.finfo(mean.dtype).tiny)))
    return 1.0 - entropy / math.log(max(2, len(mean)))


def gumbel(
    logits: torch.Tensor, noise: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return a draw with the gradient of a soft one (Jang et al. 2017, Section 2.2)."""
    soft = torch.softmax((logits + noise) / temperature, dim=-1)
    return _hard(soft.detach()) + soft - soft.detach()


def reinmax(
    logits: torch.Tensor, noise: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return a draw with a gradient of second order (Liu et al. 2023, Algorithm 2).

    It is Heun's method where the straight-through gradient is Euler's. The logits over
    the temperature are those that the draw follows.
    """
    logits = logits / temperature
    soft = torch.softmax(logits, dim=-1)
    hard = _hard((logits + noise).detach())
    halfway = torch.log((hard + soft) / 2) - logits
    mean = 2.0 * torch.softmax(halfway.detach() + logits, dim=-1) - 0.5 * soft
    return hard + mean - mean.detach()


DRAWS: dict[str, Draw] = {"reinmax": reinmax, "gumbel": gumbel}
