"""An autoencoder with codes at its bottleneck, and classes to tell from the codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skhyper._nn._model import Autoencoder, sq_errors


class ClassifyingAutoencoder(Autoencoder):
    """Add a linear head, which reads what the decoder reads.

    Parameters
    ----------
    encoder, decoder, bottleneck
        As in `Autoencoder`.
    n_classes : int
        Number of classes.
    reconstruction_weight : float
        Weight of the reconstruction error beside the cross-entropy.
    **sizes
        As in `Autoencoder`.
    """

    def __init__(
        self, *parts: Any, n_classes: int, reconstruction_weight: float, **sizes: Any
    ) -> None:
        super().__init__(*parts, **sizes)
        width = self.n_positions * self.latent_dim
        self.head = nn.Linear(width, n_classes).to(self.dtype)
        self.reconstruction_weight = reconstruction_weight

    def classify(self, u: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, n_classes) of tangent latents."""
        return self.head(self.uncentred(u))

    def pretraining_loss(
        self, x: torch.Tensor, weight: torch.Tensor, *target: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of latents that are neither bounded nor quantized."""
        v, _ = self.raw(x)
        rows = v.reshape(len(x), -1)
        return torch.mean(weight * self._errors(x, rows, *target))

    def errors(
        self, x: torch.Tensor, tangents: torch.Tensor, *target: torch.Tensor
    ) -> torch.Tensor:
        """Return the cross-entropy of rows, and the error of their reconstruction."""
        return self._errors(x, self.uncentred(tangents), *target)

    def mean_errors(
        self,
        x: torch.Tensor,
        proba: torch.Tensor,
        tangents: torch.Tensor,
        *target: torch.Tensor,
    ) -> torch.Tensor:
        """Return the surprise at the mixture of all codes, and the mean error."""
        rows, (y,) = self.uncentred(tangents), target
        likelihood = torch.log_softmax(self.head(rows), dim=-1)[:, y].T
        tiny = torch.finfo(proba.dtype).tiny
        joint = torch.log(proba.clamp(min=tiny)) + likelihood
        surprise = -torch.logsumexp(joint, dim=-1)
        if self.reconstruction_weight == 0:
            return surprise
        errors = torch.sum(proba * sq_errors(x, self.decoder(rows)), dim=-1)
        return surprise + self.reconstruction_weight * errors

    def _errors(
        self, x: torch.Tensor, rows: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        surprise = nn.functional.cross_entropy(
            self.head(rows), target, reduction="none"
        )
        if self.reconstruction_weight == 0:
            return surprise
        error = torch.mean((x - self.decoder(rows)) ** 2, dim=-1)
        return surprise + self.reconstruction_weight * error
