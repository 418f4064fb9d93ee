"""The convolutional encoder and decoder of VQ-VAE, for pictures and for sound.

Strided convolutions of window 4 and stride 2, two of them for pictures and six for
sound, and two residual blocks (van den Oord et al. 2017, Sections 4.1 and 4.3; there
the decoder of sound is a WaveNet, and here it mirrors the encoder). Rows come and go
flat, so that a network is a function of rows as any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from skhyper._utils._grid import N_STRIDES, grid_shape

N_BLOCKS = 2


class Kind(NamedTuple):
    """The layers for one number of sides."""

    down: type[nn.Module]
    up: type[nn.Module]


KINDS = {
    1: Kind(nn.Conv1d, nn.ConvTranspose1d),
    2: Kind(nn.Conv2d, nn.ConvTranspose2d),
}


@torch.no_grad()
def let_through(layer: nn.Module) -> nn.Module:
    """Draw the weights of a strided layer anew, so that signals keep their size.

    He et al. 2015, Eq. 10. With torch's own start the twelve strided layers for sounds
    let one part in 10^5 of a signal through, and some fits never left the mean.
    """
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, torch.Tensor)
    assert isinstance(bias, torch.Tensor)
    fan_in = weight[0].numel()
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        # the first axis is that of the inputs, and of 4 weights a side 2 meet
        fan_in = weight.shape[0] * 2 ** (weight.ndim - 2)
    weight.normal_(std=(2.0 / fan_in) ** 0.5)
    bias.zero_()
    return layer


class ResidualBlock(nn.Module):
    """``x + conv1(relu(conv3(relu(x))))``."""

    def __init__(self, conv: type[nn.Module], n_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            conv(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            conv(n_channels, n_channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return arrays of the shape of `x`."""
        return x + self.layers(x)


class ConvolutionalEncoder(nn.Module):
    """Flat pictures or sounds to the latents of all positions, one after the other.

    Sides that the strides do not divide are filled up with the last value.
    """

    def __init__(self, input_shape: Sequence[int], n_channels: int, width: int) -> None:
        super().__init__()
        n_in, *sides = self.input_shape = tuple(input_shape)
        n_strides, conv = N_STRIDES[len(sides)], KINDS[len(sides)].down
        pads = [(-side) % 2**n_strides for side in sides]
        # torch pads the last dimension first
        self.pads = [end for pad in reversed(pads) for end in (0, pad)]
        layers: list[nn.Module] = []
        for i in range(n_strides):
            channels = n_channels if i else n_in
            strided = conv(channels, n_channels, 4, stride=2, padding=1)
            layers += [let_through(strided), nn.ReLU()]
        layers[-1:] = [ResidualBlock(conv, n_channels) for _ in range(N_BLOCKS)]
        layers += [nn.ReLU(), conv(n_channels, width, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, n_positions * width) for (n, n_features)."""
        pictures = x.reshape(len(x), *self.input_shape)
        if any(self.pads):
            pictures = nn.functional.pad(pictures, self.pads, mode="replicate")
        latents = self.layers(pictures)
        return latents.flatten(2).mT.reshape(len(x), -1)


class ConvolutionalDecoder(nn.Module):
    """The way back: the latents of all positions to flat pictures or sounds."""

    def __init__(self, input_shape: Sequence[int], n_channels: int, width: int) -> None:
        super().__init__()
        n_out, *sides = self.input_shape = tuple(input_shape)
        self.grid = grid_shape(input_shape)
        n_strides, (conv, up) = N_STRIDES[len(sides)], KINDS[len(sides)]
        layers: list[nn.Module] = [conv(width, n_channels, 3, padding=1)]
        layers += [ResidualBlock(conv, n_channels) for _ in range(N_BLOCKS)]
        for i in reversed(range(n_strides)):
            channels = n_channels if i else n_out
            strided = up(n_channels, channels, 4, stride=2, padding=1)
            layers += [nn.ReLU(), let_through(strided) if i else strided]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (n, n_features) for (n, n_positions * width)."""
        places = latents.reshape(len(latents), math.prod(self.grid), -1).mT
        pictures = self.layers(places.reshape(*places.shape[:2], *self.grid))
        for dim, side in enumerate(self.input_shape[1:], start=2):
            pictures = pictures.narrow(dim, 0, side)
        return pictures.reshape(len(latents), -1)
