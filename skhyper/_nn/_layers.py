"""Multilayer perceptrons, flat and hyperbolic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def start_evenly(network: nn.Module) -> None:
    """Draw the weights of linear layers anew, so that signals keep their size.

    Glorot & Bengio 2010, Eq. 16. With torch's own start each layer halves them, and the
    decoder hears so little of its latents that they may never part.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()


class MobiusLinear(nn.Linear):
    """Moebius layer ``M (x) x (+) b`` of hyperbolic networks, in tangent coordinates.

    ``M (x) x = exp0(M log0(x))``, so that the maps between two layers cancel, and a
    layer that takes and gives tangent vectors at the origin needs each of them once.
    The bias is ``exp0`` of its parameter: any optimizer may step on it.

    References
    ----------
    O. Ganea, G. Becigneul, T. Hofmann, "Hyperbolic Neural Networks", NeurIPS 2018,
    Section 3.2.
    """

    def __init__(self, n_in: int, n_out: int, manifold: Any) -> None:
        super().__init__(n_in, n_out)
        self.manifold = manifold

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the tangent vectors of ``exp0(W u) (+) exp0(b)``."""
        ball = self.manifold
        x = ball.expmap0(nn.functional.linear(input, self.weight))
        return ball.logmap0(ball.add(x, ball.expmap0(self.bias)))


class MobiusMLP(nn.Sequential):
    """Moebius layers with ReLU, taken in the tangent space, between them.

    Rows of many features are long, and would all land on the rim of the ball: `gains`
    multiply what comes in and what goes out.
    """

    def __init__(
        self, widths: Sequence[int], manifold: Any, gains: tuple[float, float]
    ) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(widths):
            layers += [MobiusLinear(n_in, n_out, manifold), nn.ReLU()]
        super().__init__(*layers[:-1])
        self.gains = gains

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return tangent vectors for tangent vectors."""
        return super().forward(input * self.gains[0]) * self.gains[1]
