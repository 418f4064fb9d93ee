"""The bottleneck of VQ-VAE and its residual kin: every level takes the nearest code."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from skhyper._nn._bottleneck import Bottleneck, Passed
from skhyper._nn._codebooks import CODEBOOKS
from skhyper._nn._search import ASSIGNMENTS, beam, greedy
from skhyper._nn._through import THROUGH
from skhyper.manifolds._residual import RESIDUAL_RULES


class Quantized(NamedTuple):
    """What the residual stack makes of a batch of points."""

    codes: list[torch.Tensor]  # per level, (n,)
    residuals: list[torch.Tensor]  # before each level, detached
    chosen: list[torch.Tensor]  # the code of each level, attached to its codebook
    prefixes: list[torch.Tensor]  # reconstructions of every depth, detached


class NearestCodes(Bottleneck):
    """A residual stack whose codes and latents are pulled to one another.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where latents and codes live.
    residual, gradient, codebook_update, assignment : str
        The rules, by the names that users give.
    beam_size : int
        Prefixes kept in the search for codes.
    commitment_weight : float
        Weight of the loss that pulls latents to their codes.
    """

    def __init__(
        self,
        manifold: Any,
        *,
        residual: str = "exact",
        gradient: str = "tangent",
        codebook_update: str = "gradient",
        assignment: str = "nearest",
        beam_size: int = 1,
        commitment_weight: float = 0.25,
    ) -> None:
        super().__init__(manifold, CODEBOOKS[codebook_update](manifold))
        self.rule, self.through = RESIDUAL_RULES[residual], THROUGH[gradient]
        self.assignment, self.beam_size = assignment, beam_size
        self.commitment_weight = commitment_weight

    def __call__(
        self, u: torch.Tensor, extra: torch.Tensor, weight: torch.Tensor, train: bool
    ) -> Passed:
        """Quantize tangent latents, with the losses of codes and latents.

        ``codebook`` pulls codes to residuals, unless sums train them; ``commitment``
        pulls latents to the reconstructions of every prefix. With exact residuals both
        have one value, ``d(0, r_i)^2``, since prefixes telescope; in this form no
        gradient passes through a chain of Moebius operations.
        """
        z = self.manifold.expmap0(u)
        codes, residuals, chosen, prefixes = self.quantize(z, weight, train)
        # all levels in one call: batches are small, and calls cost more than numbers
        half = self.manifold.sq_half_dist
        losses = self.commitment_weight * half(z, torch.stack(prefixes)).mean(dim=0)
        if self.codebooks.by_gradient:
            pulled = half(torch.stack(residuals), torch.stack(chosen))
            losses = losses + pulled.mean(dim=0)
        tangents = self.through(self.manifold, u, z, prefixes[-1])
        return Passed(tangents, losses, codes, residuals)

    def quantize(self, z: torch.Tensor, weight: torch.Tensor, train: bool) -> Quantized:
        """Encode points; residuals carry no gradient from level to level."""
        points, residual = self.codebooks.points(), z.detach()
        books = [book.detach() for book in points]
        codes = self._search(residual, books, weight, train)
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
        self,
        z: torch.Tensor,
        books: list[torch.Tensor],
        weight: torch.Tensor,
        train: bool,
    ) -> list[torch.Tensor]:
        """Return the code of each level: in training they may be balanced."""
        if self.assignment != "nearest" and train:
            assign = ASSIGNMENTS[self.assignment]
            return greedy(self.manifold, self.rule, z, books, weight, assign)
        if self.beam_size > 1:
            return beam(self.manifold, self.rule, z, books, weight, self.beam_size)
        return greedy(self.manifold, self.rule, z, books, weight)
