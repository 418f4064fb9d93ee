"""One trainable point a node, in two kinds.

``adam`` holds tangent vectors at the origin, on which Adam steps; ``rsgd`` holds points
of the manifold, on which geoopt's Riemannian SGD steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skhyper._nn._codebooks import adamw, import_geoopt


class NodeTable:
    """Points as tangent vectors, trained by Adam.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    tangents : tensor of shape (n_nodes, dim)
        Where they start.
    reach : float or None
        Length of the longest tangent vector.
    """

    def __init__(
        self, manifold: Any, tangents: torch.Tensor, reach: float | None
    ) -> None:
        self.manifold = manifold
        self.reach = reach
        self.parameter = self._start(tangents.clone())

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """Return a new optimizer of the points."""
        return adamw([self.parameter], learning_rate)

    @torch.no_grad()
    def points(self) -> torch.Tensor:
        """Return all points, without a gradient."""
        return self.manifold.expmap0(self.parameter.detach())

    @torch.no_grad()
    def tangents(self, rows: Any = slice(None)) -> torch.Tensor:
        """Return tangent vectors at the origin, without a gradient."""
        return self.parameter.detach()[rows]

    @torch.no_grad()
    def pull_back(
        self, points: torch.Tensor, at_points: torch.Tensor, at_tangents: Any = None
    ) -> None:
        """Set the parameter's gradient, from those at points and at tangent vectors."""
        u, c = self.parameter.detach(), self.manifold.c
        gradient = at_points
        if c:
            # the differential of u tanh(s |u|) / (s |u|), with s = sqrt(c)
            square = torch.einsum("nd,nd->n", u, u)[:, None]
            along = torch.einsum("nd,nd->n", u, at_points)[:, None]
            scale = torch.einsum("nd,nd->n", points, u)[:, None]
            scale = torch.where(square > 0.0, scale / square, torch.ones_like(square))
            # (sech^2 - scale) / |u|^2, by its series where the two nearly cancel
            bend = (self.manifold.gap(points) - scale) / square
            bend = torch.where(c * square > 1e-8, bend, -2.0 / 3.0 * c)
            gradient = scale * at_points + (bend * along) * u
        if at_tangents is not None:
            gradient = gradient + at_tangents
        self.parameter.grad = gradient

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring points that a step has carried too far out back in."""
        if self.reach is not None:
            length = torch.linalg.vector_norm(self.parameter, dim=1, keepdim=True)
            self.parameter.mul_(torch.clamp(self.reach / length, max=1.0))

    def _start(self, tangents: torch.Tensor) -> nn.Parameter:
        return nn.Parameter(tangents)


class RiemannianTable(NodeTable):
    """Points of the manifold, trained by Riemannian SGD."""

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """Return a new optimizer of the points."""
        geoopt = import_geoopt()
        return geoopt.optim.RiemannianSGD([self.parameter], lr=learning_rate)

    def points(self) -> torch.Tensor:
        """Return all points, without a gradient."""
        return self.parameter.detach()

    @torch.no_grad()
    def tangents(self, rows: Any = slice(None)) -> torch.Tensor:
        """Return tangent vectors at the origin, without a gradient."""
        return self.manifold.logmap0(self.parameter.detach()[rows])

    def pull_back(
        self, points: torch.Tensor, at_points: torch.Tensor, at_tangents: Any = None
    ) -> None:
        """Set the parameter's gradient, from those at points and at tangent vectors."""
        gradient = at_points
        if at_tangents is not None:
            given = self.parameter.detach().requires_grad_()
            with torch.enable_grad():
                tangents = self.manifold.logmap0(given)
            (found,) = torch.autograd.grad(tangents, given, at_tangents)
            gradient = gradient + found
        self.parameter.grad = gradient

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring points that a step has carried too far out back in."""
        if self.reach is None:
            return
        tangents = self.tangents()
        length = torch.linalg.vector_norm(tangents, dim=1, keepdim=True)
        far = (length > self.reach)[:, 0]
        inside = tangents[far] * (self.reach / length[far])
        self.parameter[far] = self.manifold.expmap0(inside)

    def _start(self, tangents: torch.Tensor) -> nn.Parameter:
        points = self.manifold.expmap0(tangents)
        if self.manifold.c == 0:
            return nn.Parameter(points)
        geoopt = import_geoopt()
        c = torch.tensor(self.manifold.c, dtype=points.dtype, device=points.device)
        ball = geoopt.PoincareBall(c=c)
        return geoopt.ManifoldParameter(points, manifold=ball)


TABLES: dict[str, type[NodeTable]] = {"adam": NodeTable, "rsgd": RiemannianTable}
