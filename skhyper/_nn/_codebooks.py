"""The codes of all levels as a trainable module, in three kinds.

``gradient`` holds tangent vectors at the origin, on which any optimizer may step;
``riemannian`` holds points of the ball, on which geoopt's steps; ``ema`` keeps fading
sums of the residuals that took each code, and no gradient reaches it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# codes and latents stay within this share of the ball's radius, where float32
# coordinates keep five digits and gradients through expmap0 stay below a factor 11
LARGEST_RADIUS = 0.95

# share of the sums that an EMA codebook keeps from one batch to the next
EMA_DECAY = 0.99

Optimizers = Sequence[torch.optim.Optimizer]


def manifold_reach(manifold: Any) -> float | None:
    """Length of the longest tangent vector in use; None in flat space."""
    if manifold.c == 0:
        return None
    return math.atanh(LARGEST_RADIUS) / manifold.c**0.5


class Codebooks(nn.Module):
    """Codes as tangent vectors, trained by the optimizer of the network.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the codes live.
    """

    # whether the loss that pulls codes to residuals trains them
    by_gradient = True

    def __init__(self, manifold: Any) -> None:
        super().__init__()
        self.manifold = manifold
        self.reach = manifold_reach(manifold)
        self.levels = nn.ParameterList()

    def start(
        self, tangents: Sequence[NDArray[Any]], dtype: Any, device: torch.device
    ) -> None:
        """Start from the given tangent vectors, one array a level."""
        self.levels = nn.ParameterList(
            nn.Parameter(self._stored(torch.tensor(t, dtype=dtype, device=device)))
            for t in tangents
        )

    def points(self) -> list[torch.Tensor]:
        """Return the codes as points of the manifold."""
        return [self.manifold.expmap0(level) for level in self.levels]

    def tangents(self) -> list[NDArray[np.float64]]:
        """Return the codes as tangent vectors, in NumPy."""
        return [
            self._tangent(level.detach()).cpu().numpy().astype(np.float64)
            for level in self.levels
        ]

    def split(
        self, network: list[nn.Parameter], learning_rate: float
    ) -> list[torch.optim.Optimizer]:
        """Return the optimizers of the network and of the codes."""
        trained = [*network, *self.levels] if self.by_gradient else network
        return [adamw(trained, learning_rate)] if trained else []

    @torch.no_grad()
    def after_step(
        self, codes: Sequence[Any], residuals: Sequence[Any], weight: torch.Tensor
    ) -> None:
        """Bring codes that a step has carried too far out back in."""
        if self.reach is None:
            return
        for level in self.levels:
            length = torch.linalg.vector_norm(level, dim=-1, keepdim=True)
            level.mul_(torch.clamp(self._limit() / length, max=1.0))

    @torch.no_grad()
    def revive(
        self, level: int, dead: torch.Tensor, points: torch.Tensor, used: Optimizers
    ) -> None:
        """Move the codes `dead` of a level to `points`, with no memory of steps."""
        codes = self.levels[level]
        tangents = self.manifold.logmap0(points).to(codes.dtype)
        codes[dead] = self._stored(tangents)
        for optimizer in used:
            state = optimizer.state.get(codes, {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    state[moment][dead] = 0.0

    @torch.no_grad()
    def revive_unused(
        self,
        counts: Sequence[torch.Tensor],
        residuals: Sequence[torch.Tensor],
        generator: torch.Generator,
        used: Optimizers,
    ) -> None:
        """Move codes that nothing took onto residuals, drawn from those of a batch."""
        for level, (count, residual) in enumerate(zip(counts, residuals, strict=True)):
            dead = torch.nonzero(count == 0)[:, 0]
            if len(dead) == 0:
                continue
            drawn = torch.randint(len(residual), (len(dead),), generator=generator)
            self.revive(level, dead, residual[drawn.to(residual.device)], used)

    def _stored(self, tangent: torch.Tensor) -> torch.Tensor:
        """Return what is kept for a tangent vector."""
        return tangent

    def _tangent(self, stored: torch.Tensor) -> torch.Tensor:
        """Return the tangent vector of what is kept."""
        return stored

    def _limit(self) -> float:
        assert self.reach is not None
        return self.reach


class RiemannianCodebooks(Codebooks):
    """Codes as points of the ball, trained by geoopt's RiemannianAdam."""

    def start(
        self, tangents: Sequence[NDArray[Any]], dtype: Any, device: torch.device
    ) -> None:
        """Start from the given tangent vectors, one array a level."""
        super().start(tangents, dtype, device)
        geoopt = import_geoopt()
        # from a float geoopt would make a float32 curvature
        c = torch.tensor(self.manifold.c, dtype=dtype, device=device)
        ball = geoopt.PoincareBall(c=c)
        self.levels = nn.ParameterList(
            geoopt.ManifoldParameter(level.detach(), manifold=ball)
            for level in self.levels
        )

    def points(self) -> list[torch.Tensor]:
        """Return the codes as points of the manifold."""
        return list(self.levels)

    def split(
        self, network: list[nn.Parameter], learning_rate: float
    ) -> list[torch.optim.Optimizer]:
        """Return the optimizers of the network and of the codes."""
        geoopt = import_geoopt()
        riemannian = geoopt.optim.RiemannianAdam(self.levels, lr=learning_rate)
        return [*([adamw(network, learning_rate)] if network else []), riemannian]

    def _stored(self, tangent: torch.Tensor) -> torch.Tensor:
        return self.manifold.expmap0(tangent)

    def _tangent(self, stored: torch.Tensor) -> torch.Tensor:
        return self.manifold.logmap0(stored)

    def _limit(self) -> float:
        return LARGEST_RADIUS / self.manifold.c**0.5


class EMACodebooks(Codebooks):
    """Codes as centroids of fading sums over the residuals that took them.

    On the ball the sums are of Lorentz vectors, and the centroid is the gyromidpoint;
    in flat space it is the mean. A batch counts `1 - EMA_DECAY`.
    """

    by_gradient = False

    def start(
        self, tangents: Sequence[NDArray[Any]], dtype: Any, device: torch.device
    ) -> None:
        """Start from the given tangent vectors, each with the weight of one share."""
        super().start(tangents, dtype, device)
        for i, points in enumerate(self.points()):
            self.levels[i].requires_grad_(False)
            self.register_buffer(f"sums_{i}", self._lift(points.detach()))

    def _lift(self, points: torch.Tensor) -> torch.Tensor:
        """Return ``[x / A, 1 / A - 1 / 2]``, the statistic that adds up."""
        share = 1.0 / self.manifold.gap(points)
        return torch.cat([share * points, share - 0.5], dim=-1)

    @torch.no_grad()
    def after_step(
        self, codes: Sequence[Any], residuals: Sequence[Any], weight: torch.Tensor
    ) -> None:
        """Fade the sums, add the batch, and take the centroids."""
        for i, (column, residual) in enumerate(zip(codes, residuals, strict=True)):
            level, sums = self.levels[i], self.get_buffer(f"sums_{i}")
            batch = torch.zeros_like(sums)
            # in shares: a code that gets its part of the batch has the weight 1
            share = (weight * (len(sums) / weight.sum())).to(sums.dtype)
            batch.index_add_(0, column, share[:, None] * self._lift(residual))
            sums.lerp_(batch, 1.0 - EMA_DECAY)
            centroid = self.manifold.centroid_from_sums(sums[:, :-1], sums[:, -1:])
            level.copy_(self.manifold.logmap0(centroid))
        super().after_step(codes, residuals, weight)

    @torch.no_grad()
    def revive(
        self, level: int, dead: torch.Tensor, points: torch.Tensor, used: Optimizers
    ) -> None:
        """Move the codes `dead` of a level to `points`, which are all they know of."""
        super().revive(level, dead, points, used)
        sums = self.get_buffer(f"sums_{level}")
        sums[dead] = self._lift(points).to(sums.dtype)


CODEBOOKS: dict[str, type[Codebooks]] = {
    "gradient": Codebooks,
    "riemannian": RiemannianCodebooks,
    "ema": EMACodebooks,
}


def adamw(
    parameters: Sequence[nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return AdamW; weight decay would pull codes to the origin."""
    # one pass over the weights instead of ten: a step of a network of 4 million takes
    # less than half of the time on a CPU
    fused = all(weight.device.type in ("cpu", "cuda") for weight in parameters)
    return torch.optim.AdamW(
        parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused
    )


def import_geoopt() -> Any:
    """Return geoopt, whose import warns of parts of torch that it uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import geoopt
    return geoopt
