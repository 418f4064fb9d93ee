"""An autoencoder whose bottleneck is a residual stack on a manifold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skhyper.manifolds._residual import RESIDUAL_RULES

# codes and latents stay within this share of the ball's radius, where float32
# coordinates keep five digits and gradients through expmap0 stay below a factor 11
LARGEST_RADIUS = 0.95

# rows that pass the network at once where no gradient is kept
EVALUATION_ROWS = 4096


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
    dtype : torch.dtype
        The dtype of the network.
    latent_dim : int
        Width of the encoder's output.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        manifold: Any,
        residual: str,
        point_dtype: torch.dtype,
        dtype: torch.dtype,
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder.to(dtype), decoder.to(dtype)
        self.manifold, self.rule = manifold, RESIDUAL_RULES[residual]
        self.point_dtype = point_dtype
        # codes as tangent vectors: any optimizer may step on them
        self.codebooks = nn.ParameterList()
        self.reach = manifold_reach(manifold)
        self.register_buffer("shift", torch.zeros(latent_dim, dtype=dtype))
        self.register_buffer("scale", torch.ones((), dtype=dtype))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the network."""
        return self.scale.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.scale.device

    def set_codebooks(self, tangents: Sequence[NDArray[np.float64]]) -> None:
        """Start the codebooks at the given tangent vectors."""
        self.codebooks = nn.ParameterList(
            torch.from_numpy(t.copy()).to(self.device, self.point_dtype)
            for t in tangents
        )

    def tangents(self) -> list[NDArray[np.float64]]:
        """Return the codebooks as tangent vectors, in NumPy."""
        return [
            codebook.detach().cpu().numpy().astype(np.float64)
            for codebook in self.codebooks
        ]

    def network_weights(self) -> dict[str, NDArray[Any]]:
        """Return all but the codebooks as NumPy arrays, by name."""
        return {
            name: value.detach().cpu().numpy().copy()
            for name, value in self.state_dict().items()
            if not name.startswith("codebooks")
        }

    def load_network_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        """Take over what `network_weights` gave."""
        state = {name: torch.from_numpy(np.array(v)) for name, v in weights.items()}
        self.load_state_dict(state)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return tangent latents, bounded smoothly: a clip would kill gradients."""
        v = (self.encoder(x) - self.shift) * self.scale
        if self.reach is None:
            return v
        length = torch.linalg.vector_norm(v, dim=-1, keepdim=True) / self.reach
        safe = torch.where(length > 1e-4, length, 1.0)
        return v * torch.where(length > 1e-4, torch.tanh(safe) / safe, 1.0)

    def decode(self, u: torch.Tensor) -> torch.Tensor:
        """Return the features of tangent latents."""
        return self.decoder(u.to(self.dtype) / self.scale + self.shift)

    def autoencode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of latents that are neither bounded nor quantized."""
        return self.decoder(self.encoder(x))

    @torch.no_grad()
    def centre_latents(self, x: torch.Tensor, weight: torch.Tensor) -> None:
        """Put the latents' mean at the origin and their mean square length at 1.

        The decoder undoes it, so that the autoencoder stays what it is. It makes the
        quantization losses as large as the reconstruction loss, and a curvature mean
        the same, whatever scale the encoder has come to.
        """
        parts = torch.split(x, EVALUATION_ROWS)
        v = torch.cat([self.encoder(part) for part in parts])
        share = (weight / weight.sum()).to(v.dtype)[:, None]
        mean = torch.sum(share * v, dim=0)
        square = float(torch.sum(share * (v - mean) ** 2))
        self.shift.copy_(mean)
        # latents that differ by rounding alone have no scale of their own
        noise = 1e-12 * float(mean @ mean)
        self.scale.fill_(square**-0.5 if square > noise else 1.0)

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
            residual = self.rule.subtract(self.manifold, residual, chosen[-1].detach())
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
        x_hat = self.decode(u + (u_hat - u).detach())
        reconstruction = torch.mean(weight * torch.mean((x - x_hat) ** 2, dim=-1))
        quantization = codebook + commitment_weight * commitment
        total = reconstruction + torch.mean(weight * quantization)
        return Losses(total, reconstruction.detach()), quantized

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of the codes of a batch."""
        z = self.manifold.expmap0(self.embed(x).to(self.point_dtype))
        return self.decode(self.manifold.logmap0(self.quantize(z).prefixes[-1]))

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
