"""An autoencoder with codes at its bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skhyper._nn._bottleneck import Bottleneck, Passed
from skhyper._nn._codebooks import Codebooks, manifold_reach

# positions that pass the network at once where no gradient is kept
EVALUATION_POSITIONS = 4096


class Losses(NamedTuple):
    """Weighted means over a batch."""

    total: torch.Tensor
    error: torch.Tensor  # the part that decides which weights are best, detached


class NoBottleneck(Bottleneck):
    """What a fitted network has for a bottleneck: codes are chosen outside torch.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where latents live.
    n_extra : int
        Outputs of the encoder beside the coordinates of a latent.
    """

    def __init__(self, manifold: Any, n_extra: int) -> None:
        super().__init__(manifold, Codebooks(manifold))
        self.n_extra = n_extra

    def __call__(self, *batch: Any) -> Passed:
        """Refuse to quantize."""
        raise NotImplementedError("A network that is built again is not for training.")


class Autoencoder(nn.Module):
    """Encoder, bottleneck and decoder.

    Parameters
    ----------
    encoder, decoder : Module
        Features (n, n_features) to all positions' tangent vectors at the origin, each
        followed by what else the bottleneck needs, (n, n_positions * width), and the
        tangent vectors (n, n_positions * latent_dim) back to features.
    bottleneck : Bottleneck
        How latents become codes.
    latent_dim : int
        Dimensions of a latent.
    n_positions : int, default=1
        Latents of a row: the places of a picture or a sound that have codes.
    point_dtype : torch.dtype
        The dtype of the step on the manifold.
    dtype : torch.dtype
        The dtype of the network.
    draws : bool, default=False
        Whether layers may draw random numbers in training, as dropout does.
    alone : bool, default=False
        Whether rows pass one by one in inference, as pictures do.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        bottleneck: Bottleneck,
        *,
        latent_dim: int,
        n_positions: int = 1,
        point_dtype: torch.dtype,
        dtype: torch.dtype,
        draws: bool = False,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder.to(dtype), decoder.to(dtype)
        self.bottleneck, self.codebooks = bottleneck, bottleneck.codebooks
        self.manifold = bottleneck.manifold
        self.latent_dim, self.n_positions = latent_dim, n_positions
        self.point_dtype, self.draws, self.alone = point_dtype, draws, alone
        self.reach = manifold_reach(self.manifold)
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

    @property
    def evaluation_rows(self) -> int:
        """Rows that pass at once where no gradient is kept."""
        return max(1, EVALUATION_POSITIONS // self.n_positions)

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

    def latents(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tangent latents of all positions, and what else comes with them.

        Both have one row a position: (n * n_positions, ...). Tangents are bounded
        smoothly: a clip would kill gradients.
        """
        v, extra = self.raw(x)
        v = (v - self.shift) * self.scale
        if self.reach is None:
            return v, extra
        length = torch.linalg.vector_norm(v, dim=-1, keepdim=True) / self.reach
        safe = torch.where(length > 1e-4, length, 1.0)
        return v * torch.where(length > 1e-4, torch.tanh(safe) / safe, 1.0), extra

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tangent latents of a row in one row."""
        return self.latents(x)[0].reshape(len(x), -1)

    def embed_with_extra(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same with what else comes with each latent behind it."""
        return torch.cat(self.latents(x), dim=-1).reshape(len(x), -1)

    def decode(self, u: torch.Tensor) -> torch.Tensor:
        """Return the features of tangent latents, given in rows of any length."""
        return self.decoder(self.uncentred(u))

    def uncentred(self, u: torch.Tensor) -> torch.Tensor:
        """Return tangent latents as the encoder gives them, a sample in a row."""
        v = u.reshape(-1, self.latent_dim).to(self.dtype) / self.scale + self.shift
        return v.reshape(-1, self.n_positions * self.latent_dim)

    def pretraining_loss(
        self, x: torch.Tensor, weight: torch.Tensor, *target: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of latents that are neither bounded nor quantized."""
        v, _ = self.raw(x)
        x_hat = self.decoder(v.reshape(len(x), -1))
        return torch.mean(weight * torch.mean((x - x_hat) ** 2, dim=-1))

    def losses(
        self, x: torch.Tensor, weight: torch.Tensor, *target: torch.Tensor
    ) -> tuple[Losses, Passed]:
        """Return the training losses of a batch, and what the bottleneck made of it."""
        passed, of_points = self._pass(x, weight)
        error = torch.mean(weight * self.errors(x, passed.tangents, *target))
        expected = error
        if passed.mixture is not None:
            mean_errors = self.mean_errors(x, *passed.mixture, *target)
            expected = torch.mean(weight * mean_errors)
        total = expected + torch.mean(of_points * passed.losses)
        return Losses(total, error.detach()), passed

    def errors(
        self, x: torch.Tensor, tangents: torch.Tensor, *target: torch.Tensor
    ) -> torch.Tensor:
        """Return what the decoder makes wrong of each row."""
        return torch.mean((x - self.decode(tangents)) ** 2, dim=-1)

    def mean_errors(
        self,
        x: torch.Tensor,
        proba: torch.Tensor,
        tangents: torch.Tensor,
        *target: torch.Tensor,
    ) -> torch.Tensor:
        """Return what the decoder makes wrong of each row, on average over codes.

        Parameters
        ----------
        x : tensor of shape (n, n_features)
            The rows.
        proba : tensor of shape (n, n_codes)
            Probabilities of the codes.
        tangents : tensor of shape (n_codes, latent_dim)
            The codes.
        *target : tensor of shape (n,)
            What is to be told of each row, if anything is.
        """
        return torch.sum(proba * sq_errors(x, self.decode(tangents)), dim=-1)

    @torch.no_grad()
    def evaluate(self, x: torch.Tensor, *target: torch.Tensor) -> torch.Tensor:
        """Return the errors of rows, quantized as ever after training."""
        passed, _ = self._pass(x, torch.ones_like(x[:, 0]))
        return self.errors(x, passed.tangents, *target)

    @torch.no_grad()
    def centre_latents(self, x: torch.Tensor, weight: torch.Tensor) -> None:
        """Put the latents' mean at the origin, and give them their first length.

        The decoder undoes it, so that the autoencoder stays what it is. It makes the
        quantization losses as large as the reconstruction loss, and a curvature mean
        the same, whatever scale the encoder has come to.
        """
        self.eval()
        parts = torch.split(x, self.evaluation_rows)
        v = torch.cat([self.raw(part)[0] for part in parts])
        share = self.of_points(weight / weight.sum()).to(v.dtype)[:, None]
        share = share / self.n_positions
        mean = torch.sum(share * v, dim=0)
        square = float(torch.sum(share * (v - mean) ** 2))
        self.shift.copy_(mean)
        # latents that differ by rounding alone have no scale of their own
        noise = 1e-12 * float(mean @ mean)
        length = self.bottleneck.first_length
        self.scale.fill_(length * square**-0.5 if square > noise else 1.0)

    def raw(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the encoder says of all positions: latents, and the rest."""
        width = self.latent_dim + self.bottleneck.n_extra
        out = self.encoder(x).reshape(-1, width)
        return out[:, : self.latent_dim], out[:, self.latent_dim :]

    def _pass(
        self, x: torch.Tensor, weight: torch.Tensor
    ) -> tuple[Passed, torch.Tensor]:
        u, extra = (part.to(self.point_dtype) for part in self.latents(x))
        of_points = self.of_points(weight)
        return self.bottleneck(u, extra, of_points, self.training), of_points

    def of_points(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weights of rows for each of their positions."""
        return weight.repeat_interleave(self.n_positions)


def sq_errors(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of every pair of rows, (n, m)."""
    of_x, of_y = (torch.mean(z * z, dim=-1) for z in (x, y))
    return of_x[:, None] - 2.0 / x.shape[1] * x @ y.T + of_y
