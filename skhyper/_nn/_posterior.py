"""The bottleneck of soft VQ: latents become the posterior mean of the codes."""

from __future__ import annotations

from typing import Any

import torch

from skhyper._nn._bottleneck import Bottleneck, Passed
from skhyper._nn._codebooks import Codebooks
from skhyper._nn._search import code_scores
from skhyper._utils._posterior import FIRST_LENGTH, posterior_logits, posterior_mean
from skhyper.manifolds._ops import as_arrays, asinhc

# The pull of latents to their codes grows to its full weight in this share of a new
# network's training. Without any, latents would leave the codes behind.
WARM_UP = 0.1
LEAST_PULL = 0.1

# Latents whose spread has fallen to this share of the first are pulled to their codes
# only as far as codes tell them apart. Before the decoder knows what to do with
# latents, the pull would win, and put all of them in one place.
LEAST_SPREAD = 0.25


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

    first_length = FIRST_LENGTH
    revives = False  # a code that is never the most probable has its part in means

    def __init__(
        self, manifold: Any, *, n_codes: int, posterior: str, commitment_weight: float
    ) -> None:
        super().__init__(manifold, Codebooks(manifold))
        self.n_extra, self.kind = n_codes, posterior
        self.commitment_weight = commitment_weight
        self.is_new, self._share = True, 1.0

    def anneal(self, share: float) -> None:
        """Hear what share of the training is over."""
        self._share = max(LEAST_PULL, min(1.0, share / WARM_UP)) if self.is_new else 1.0

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
        step = (self.manifold.logmap0(z_hat) - u).detach()
        pull = self.commitment_weight * self._pull(u.detach(), step, weight)
        losses = losses + pull * half(z, z_hat.detach())
        return Passed(u + step, losses, [posterior.argmax(dim=-1)], [z.detach()])

    def _pull(
        self, u: torch.Tensor, step: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Return the share of the commitment that a batch of latents bears."""
        share = (weight / weight.sum())[:, None]
        spread = torch.sum(share * (u - torch.sum(share * u, dim=0)) ** 2)
        explained = 1.0 - torch.sum(share * step**2) / spread.clamp(min=1e-30)
        room = (spread / FIRST_LENGTH**2 - LEAST_SPREAD) / (1.0 - LEAST_SPREAD)
        return self._share * torch.maximum(explained, room).clamp(0.0, 1.0)

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
        found: torch.Tensor = posterior_mean(self.manifold, posterior, points)
        return found
