"""An autoencoder whose bottleneck is a residual stack on a manifold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skhyper._nn._codebooks import CODEBOOKS, manifold_reach
from skhyper._nn._search import ASSIGNMENTS, beam, greedy
from skhyper._nn._through import THROUGH
from skhyper.manifolds._residual import RESIDUAL_RULES

# rows that pass the network at once where no gradient is kept
EVALUATION_ROWS = 4096


class Parts(NamedTuple):
    """What an autoencoder is made of, by the names that its users give."""

    residual: str = "exact"
    gradient: str = "tangent"
    codebook_update: str = "gradient"
    assignment: str = "nearest"
    beam_size: int = 1


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
    parts : Parts
        The residual rule, the way of the gradient, how codes are found and trained.
    point_dtype : torch.dtype
        The dtype of the step on the manifold.
    dtype : torch.dtype
        The dtype of the network.
    latent_dim : int
        Width of the encoder's output.
    draws : bool, default=False
        Whether layers may draw random numbers in training, as dropout does.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        manifold: Any,
        parts: Parts,
        *,
        point_dtype: torch.dtype,
        dtype: torch.dtype,
        latent_dim: int,
        draws: bool = False,
    ) -> None:
        super().__init__()
        self.draws = draws
        self.encoder, self.decoder = encoder.to(dtype), decoder.to(dtype)
        self.manifold, self.parts = manifold, parts
        self.rule = RESIDUAL_RULES[parts.residual]
        self.point_dtype = point_dtype
        self.codebooks = CODEBOOKS[parts.codebook_update](manifold)
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
        self.codebooks.start(tangents, self.point_dtype, self.device)

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
        self.eval()
        parts = torch.split(x, EVALUATION_ROWS)
        v = torch.cat([self.encoder(part) for part in parts])
        share = (weight / weight.sum()).to(v.dtype)[:, None]
        mean = torch.sum(share * v, dim=0)
        square = float(torch.sum(share * (v - mean) ** 2))
        self.shift.copy_(mean)
        # latents that differ by rounding alone have no scale of their own
        noise = 1e-12 * float(mean @ mean)
        self.scale.fill_(square**-0.5 if square > noise else 1.0)

    def quantize(self, z: torch.Tensor, weight: torch.Tensor) -> Quantized:
        """Encode points; residuals carry no gradient from level to level."""
        points, residual = self.codebooks.points(), z.detach()
        books = [book.detach() for book in points]
        codes = self._search(residual, books, weight)
        residuals, chosen = [], []
        for book, column in zip(points, codes, strict=True):
            residuals.append(residual)
            chosen.append(book[column])
            if len(chosen) < len(points):
                taken = chosen[-1].detach()
                residual = self.rule.subtract(self.manifold, residual, taken)
        with torch.no_grad():
            prefixes = [
                self.rule.fold(self.manifold, chosen[: depth + 1])
                for depth in range(len(chosen))
            ]
        return Quantized(codes, residuals, chosen, prefixes)

    def _search(
        self, z: torch.Tensor, books: list[torch.Tensor], weight: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the code of each level: in training they may be balanced."""
        if self.parts.assignment != "nearest" and self.training:
            assign = ASSIGNMENTS[self.parts.assignment]
            return greedy(self.manifold, self.rule, z, books, weight, assign)
        if self.parts.beam_size > 1:
            width = self.parts.beam_size
            return beam(self.manifold, self.rule, z, books, weight, width)
        return greedy(self.manifold, self.rule, z, books, weight)

    def losses(
        self, x: torch.Tensor, weight: torch.Tensor, commitment_weight: float
    ) -> tuple[Losses, Quantized]:
        """Return the training losses of a batch.

        ``codebook`` pulls codes to residuals, unless sums train them; ``commitment``
        pulls latents to the reconstructions of every prefix. With exact residuals both
        have one value, ``d(0, r_i)^2``, since prefixes telescope; in this form no
        gradient passes through a chain of Moebius operations.
        """
        u = self.embed(x).to(self.point_dtype)
        z = self.manifold.expmap0(u)
        quantized = self.quantize(z, weight)
        half = self.manifold.sq_half_dist
        quantization = commitment_weight * _mean(
            half(z, prefix) for prefix in quantized.prefixes
        )
        if self.codebooks.by_gradient:
            quantization = quantization + _mean(
                half(r, q) for r, q in _pairs(quantized)
            )
        through = THROUGH[self.parts.gradient]
        x_hat = self.decode(through(self.manifold, u, z, quantized.prefixes[-1]))
        reconstruction = torch.mean(weight * torch.mean((x - x_hat) ** 2, dim=-1))
        total = reconstruction + torch.mean(weight * quantization)
        return Losses(total, reconstruction.detach()), quantized

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of the codes of a batch."""
        z = self.manifold.expmap0(self.embed(x).to(self.point_dtype))
        quantized = self.quantize(z, torch.ones_like(z[:, 0]))
        return self.decode(self.manifold.logmap0(quantized.prefixes[-1]))


def _pairs(quantized: Quantized) -> Any:
    return zip(quantized.residuals, quantized.chosen, strict=True)


def _mean(terms: Any) -> torch.Tensor:
    return torch.stack(list(terms)).mean(dim=0)
