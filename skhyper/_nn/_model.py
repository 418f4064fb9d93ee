"""An autoencoder whose bottleneck is a residual stack on a manifold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from skhyper.manifolds._residual import RESIDUAL_RULES

# codes and latents stay within this share of the ball's radius, where float32
# coordinates keep five digits and gradients through expmap0 stay below a factor 11
LARGEST_RADIUS = 0.95


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Quantized(NamedTuple):
    """What the residual stack makes of a batch of points."""

    codes: list[torch.Tensor]  # per level, (n,)
    residuals: list[torch.Tensor]  # before each level, detached
    chosen: list[torch.Tensor]  # the code of each level, attached to its codebook
    prefixes: list[torch.Tensor]  # reconstructions of every depth, detached


class Losses(NamedTuple):
    """Weighted means over a batch."""

    total: torch.Tensor
    reconstruction: torch.Tensor


class ResidualAutoencoder(nn.Module):
    """Encoder, residual codebooks and decoder.

    Parameters
    ----------
    encoder, decoder : Module
        Features to tangent vectors at the origin, and back.
    manifold : Euclidean or PoincareBall
        Where latents and codes live.
    residual : {"exact", "paper", "tangent"}
        The rule of `skhyper.manifolds._residual`.
    point_dtype : torch.dtype
        The dtype of the step on the manifold.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        manifold: Any,
        residual: str,
        point_dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.manifold, self.rule = manifold, RESIDUAL_RULES[residual]
        self.point_dtype = point_dtype
        # codes as tangent vectors: any optimizer may step on them
        self.codebooks = nn.ParameterList()
        self.reach = manifold_reach(manifold)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return tangent latents, bounded smoothly so that no gradient dies at a clip."""
        v = self.encoder(x)
        if self.reach is None:
            return v
        length = torch.linalg.vector_norm(v, dim=-1, keepdim=True) / self.reach
        return v * torch.where(length > 1e-4, torch.tanh(length) / length, 1.0)

    def quantize(self, z: torch.Tensor) -> Quantized:
        """Encode points greedily; residuals carry no gradient from level to level."""
        codes, residuals, chosen = [], [], []
        residual = z.detach()
        for codebook in self.codebooks:
            points = self.manifold.expmap0(codebook)
            with torch.no_grad():
                token = self.manifold.nearest(residual, points)
            codes.append(token)
            residuals.append(residual)
            chosen.append(points[token])
            residual = self.rule.subtract(
                self.manifold, residual, chosen[-1].detach()
            )
        with torch.no_grad():
            prefixes = [
                self.rule.fold(self.manifold, chosen[: depth + 1])
                for depth in range(len(chosen))
            ]
        return Quantized(codes, residuals, chosen, prefixes)

    def losses(
        self, x: torch.Tensor, weight: torch.Tensor, commitment_weight: float
    ) -> tuple[Losses, Quantized]:
        """Return the training losses of a batch.

        ``codebook`` pulls codes to residuals, ``commitment`` pulls latents to the
        reconstructions of every prefix. With exact residuals both have one value,
        ``d(0, r_i)^2``, since prefixes telescope; in this form no gradient passes
        through a chain of Moebius operations.
        """
        v = self.embed(x)
        u = v.to(self.point_dtype)
        z = self.manifold.expmap0(u)
        quantized = self.quantize(z)
        half = self.manifold.sq_half_dist
        codebook = _mean(half(r, q) for r, q in _pairs(quantized))
        commitment = _mean(half(z, prefix) for prefix in quantized.prefixes)
        # straight through: the decoder's gradient reaches the latent as it is, in
        # tangent coordinates, where copying it damps nothing
        u_hat = self.manifold.logmap0(quantized.prefixes[-1])
        x_hat = self.decoder((u + (u_hat - u).detach()).to(x.dtype))
        reconstruction = torch.mean(weight * torch.mean((x - x_hat) ** 2, dim=-1))
        quantization = codebook + commitment_weight * commitment
        total = reconstruction + torch.mean(weight * quantization)
        return Losses(total, reconstruction.detach()), quantized

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return the decoder's output for the codes of a batch."""
        z = self.manifold.expmap0(self.embed(x).to(self.point_dtype))
        u_hat = self.manifold.logmap0(self.quantize(z).prefixes[-1])
        return self.decoder(u_hat.to(x.dtype))

    def autoencode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the decoder's output for latents that are not quantized."""
        return self.decoder(self.embed(x))

    @torch.no_grad()
    def confine(self) -> None:
        """Bring codes that an optimizer step has carried too far out back in."""
        if self.reach is None:
            return
        for codebook in self.codebooks:
            length = torch.linalg.vector_norm(codebook, dim=-1, keepdim=True)
            codebook.mul_(torch.clamp(self.reach / length, max=1.0))


def manifold_reach(manifold: Any) -> float | None:
    """Length of the longest tangent vector in use; None in flat space."""
    if manifold.c == 0:
        return None
    return float(torch.atanh(torch.tensor(LARGEST_RADIUS)) / manifold.c**0.5)


def _pairs(quantized: Quantized) -> Any:
    return zip(quantized.residuals, quantized.chosen, strict=True)


def _mean(terms: Any) -> torch.Tensor:
    return torch.stack(list(terms)).mean(dim=0)
