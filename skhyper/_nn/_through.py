"""How the decoder's gradient reaches the latent, past the choice of codes.

Each rule gives the decoder the tangent vector of the reconstruction, and differs in
what comes back: ``tangent`` copies the gradient in tangent coordinates at the origin,
which damps nothing; ``identity`` copies it in ball coordinates, as straight-through
estimators of hyperbolic papers do; ``transport`` carries it along the geodesic from the
reconstruction to the latent (Colombo & Ayoughi 2026, Eq. 12, times 4, so that it is the
identity at the origin and in flat space); ``rotation`` turns and stretches it, in
tangent coordinates, as the latent is turned and stretched onto its reconstruction
(Fifty et al. 2025, Eq. 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# lengths below this have no direction
SHORTEST = 1e-12

Through = Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _tangent(
    manifold: Any, u: torch.Tensor, z: torch.Tensor, z_hat: torch.Tensor
) -> torch.Tensor:
    return u + (manifold.logmap0(z_hat) - u).detach()


def _rotation(
    manifold: Any, u: torch.Tensor, z: torch.Tensor, z_hat: torch.Tensor
) -> torch.Tensor:
    target = manifold.logmap0(z_hat)
    with torch.no_grad():
        lengths = torch.linalg.vector_norm(u, dim=-1, keepdim=True).clamp(min=SHORTEST)
        stretch = torch.linalg.vector_norm(target, dim=-1, keepdim=True) / lengths
        e = u / lengths
        q = target / (stretch * lengths).clamp(min=SHORTEST)
        half = e + q
        across = torch.linalg.vector_norm(half, dim=-1, keepdim=True)
        w = half / across.clamp(min=SHORTEST)
        # what has no direction, or the opposite one, no single rotation brings over
        turns = (across > 1e-3) & (lengths > SHORTEST) & (stretch > SHORTEST)
    along_w, along_e = (torch.sum(a * u, dim=-1, keepdim=True) for a in (w, e))
    rotated = stretch * (u - 2 * along_w * w + 2 * along_e * q)
    # forward it is the target itself, without the rounding of the rotation
    rotated = rotated + (target - rotated).detach()
    return torch.where(turns, rotated, _tangent(manifold, u, z, z_hat))


def _identity(
    manifold: Any, u: torch.Tensor, z: torch.Tensor, z_hat: torch.Tensor
) -> torch.Tensor:
    return manifold.logmap0(z + (z_hat - z).detach())


def _transport(
    manifold: Any, u: torch.Tensor, z: torch.Tensor, z_hat: torch.Tensor
) -> torch.Tensor:
    return manifold.logmap0(_Transported.apply(z, z_hat, manifold))


class _Transported(torch.autograd.Function):
    """Forward the second point; backward the gradient, moved to the first."""

    @staticmethod
    def forward(ctx: Any, z: Any, z_hat: Any, manifold: Any) -> Any:
        ctx.save_for_backward(z, z_hat)
        ctx.manifold = manifold
        return z_hat.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        z, z_hat = ctx.saved_tensors
        # A_z_hat A_z gyr[z, -z_hat] g: transport holds A_z / A_z_hat of it
        moved = ctx.manifold.transport(z_hat, z, gradients[0])
        return moved * ctx.manifold.gap(z_hat) ** 2, None, None


THROUGH: dict[str, Through] = {
    "tangent": _tangent,
    "identity": _identity,
    "transport": _transport,
    "straight-through": _tangent,
    "rotation": _rotation,
}
