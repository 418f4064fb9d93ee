"""The bottleneck of soft VQ: latents become the posterior mean of the codes."""

from __future__ import annotations

from typing import Any

import torch

from skhyper._nn._bottleneck import Bottleneck, Passed
from skhyper._nn._codebooks import Codebooks
from skhyper._nn._search import code_scores
from skhyper._utils._posterior import posterior_logits
from skhyper.manifolds._ops import as_arrays, asinhc


class PosteriorMean(Bottleneck):
    """One codebook, read softly (Wu & Flierl 2020, Section 3).

    A latent is a code with normal noise, whose scale for each code the encoder
    predicts. The decoder gets the posterior mean of the codes, straight through; on
    the ball it is their weighted gyromidpoint, and distances are half distances.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where latents and codes live.
    n_codes : int
        Size of the codebook.
    posterior : {"gaussian", "reference"}
        The formula of the posterior.
    commitment_weight : float
        Weight of the loss that pulls latents to their posterior means.
    """

    def __init__(
        self, manifold: Any, *, n_codes: int, posterior: str, commitment_weight: float
    ) -> None:
        super().__init__(manifold, Codebooks(manifold))
        self.n_extra, self.kind = n_codes, posterior
        self.commitment_weight = commitment_weight

    def __call__(
        self, u: torch.Tensor, extra: torch.Tensor, weight: torch.Tensor, train: bool
    ) -> Passed:
        """Quantize tangent latents softly, with the losses of codes and latents."""
        z = self.manifold.expmap0(u)
        (points,) = self.codebooks.points()
        # codes and scales learn from the latent, and not the latent from them
        posterior = self.posterior(z.detach(), extra, points)
        z_hat = self.mean(posterior, points)
        half = self.manifold.sq_half_dist
        losses = half(z.detach(), z_hat)
        losses = losses + self.commitment_weight * half(z, z_hat.detach())
        tangents = u + (self.manifold.logmap0(z_hat) - u).detach()
        return Passed(tangents, losses, [posterior.argmax(dim=-1)], [z.detach()])

    def posterior(
        self, z: torch.Tensor, extra: torch.Tensor, points: torch.Tensor
    ) -> torch.Tensor:
        """Return the probabilities (n, n_codes) of the codes behind points."""
        manifold, (xp, z) = self.manifold, as_arrays(z)
        chord = code_scores(manifold, z, points) / manifold.gap(z)
        chord = torch.clamp(chord, min=0.0)
        sq_half_dist = chord * asinhc(xp, manifold.c * chord) ** 2
        logits = posterior_logits(torch, self.kind, sq_half_dist, extra, z.shape[-1])
        return torch.softmax(logits, dim=-1)

    def mean(self, posterior: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Return the weighted gyromidpoints of the codes."""
        share = 1.0 / self.manifold.gap(points)
        space, time = posterior @ (share * points), posterior @ (share - 0.5)
        return self.manifold.centroid_from_sums(space, time)
