"""What stands between encoder and decoder: latents become codes, and tangents again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch

from skhyper._nn._codebooks import Codebooks


class Passed(NamedTuple):
    """What a bottleneck makes of a batch of n latents."""

    tangents: torch.Tensor  # (n, latent_dim) for the decoder, with the way back
    losses: torch.Tensor  # (n,) or (): what quantization adds to the loss
    codes: list[torch.Tensor]  # per level, (n,)
    residuals: list[torch.Tensor]  # points before each level, detached
    # of a row with one code, where the loss is to be the mean over all codes: their
    # probabilities (n, n_codes), and the tangents (n_codes, latent_dim) for the decoder
    mixture: tuple[torch.Tensor, torch.Tensor] | None = None


class Bottleneck(ABC):
    """A rule that chooses codes, with the codebooks that it chooses from.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where latents and codes live.
    codebooks : Codebooks
        The codes of all levels; the network has them as a module of its own.
    """

    # outputs of the encoder that the rule needs beside the coordinates of a latent
    n_extra = 0

    # whether random numbers are drawn in training, by `generator`
    generator: torch.Generator | None = None

    # how codes are drawn in training, where they are
    draw: Any = None

    # whether codes that an epoch has not used start again
    revives = True

    # root mean square length that latents start with
    first_length = 1.0

    def __init__(self, manifold: Any, codebooks: Codebooks) -> None:
        self.manifold, self.codebooks = manifold, codebooks

    @abstractmethod
    def __call__(
        self, u: torch.Tensor, extra: torch.Tensor, weight: torch.Tensor, train: bool
    ) -> Passed:
        """Quantize tangent latents (n, latent_dim), as in training or as ever after."""

    def anneal(self, share: float) -> None:  # noqa: B027
        """Hear what share of the training is over."""
