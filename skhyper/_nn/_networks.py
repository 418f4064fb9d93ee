"""Encoders and decoders as an estimator's parameters ask for them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from skhyper._nn._convolutions import ConvolutionalDecoder, ConvolutionalEncoder
from skhyper._nn._layers import MobiusMLP, mlp
from skhyper._utils._grid import grid_shape


class Shape(NamedTuple):
    """What goes in and out of the two halves."""

    n_features: int
    latent_dim: int
    n_extra: int = 0  # outputs of the encoder beside the latent
    hidden: Sequence[int] = ()
    n_channels: int = 0
    input_shape: tuple[int, ...] | None = None  # of a picture or a sound


def build_networks(
    encoder: Any, decoder: Any, shape: Shape, manifold: Any, dtype: torch.dtype
) -> tuple[nn.Module, nn.Module]:
    """Return a new encoder and a new decoder.

    Parameters
    ----------
    encoder : None, "hyperbolic" or Module
        None is an MLP, or a convolutional network where `shape` has an input shape. A
        module is copied: training leaves the user's own alone.
    decoder : None or Module
        None mirrors what `encoder` would be without a module.
    shape : Shape
        Widths of all layers.
    manifold : Euclidean or PoincareBall
        Where hyperbolic layers work.
    dtype : torch.dtype
        Of a user's own network from now on.

    Raises
    ------
    ValueError
        If a module is no torch Module, or its widths are wrong.
    """
    first, back = _halves(isinstance(encoder, str), shape, manifold)
    n_positions = math.prod(grid_shape(shape.input_shape))
    width = n_positions * (shape.latent_dim + shape.n_extra)
    if encoder is None or isinstance(encoder, str):
        one = first()
    else:
        needed = "latent_dim"
        if width > shape.latent_dim:
            needed = f"latent_dim + {shape.n_extra} at each of {n_positions} positions"
        one = _own("encoder", encoder, (shape.n_features, width), needed, dtype)
    if decoder is None:
        return one, back()
    widths = n_positions * shape.latent_dim, shape.n_features
    return one, _own("decoder", decoder, widths, "the number of features", dtype)


def _halves(
    hyperbolic: bool, shape: Shape, manifold: Any
) -> tuple[Callable[[], nn.Module], Callable[[], nn.Module]]:
    """Return what builds our own encoder, and our own decoder."""
    n, d, extra, hidden, channels, pictures = shape
    if pictures is not None:
        return (
            lambda: ConvolutionalEncoder(pictures, channels, d + extra),
            lambda: ConvolutionalDecoder(pictures, channels, d),
        )
    forth, back = [n, *hidden, d + extra], [d, *hidden[::-1], n]
    if hyperbolic:
        gain = n**0.5  # mean square lengths of 1 on both sides
        return (
            lambda: MobiusMLP(forth, manifold, (1 / gain, 1.0)),
            lambda: MobiusMLP(back, manifold, (1.0, gain)),
        )
    return lambda: mlp(forth), lambda: mlp(back)


def _own(
    name: str, module: Any, widths: tuple[int, int], needed: str, dtype: torch.dtype
) -> nn.Module:
    """Return a copy of a user's network that maps (n, first) to (n, last) widths."""
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{name}={module!r} must be an instance of torch.nn.Module, not a class "
            "or a function."
        )
    module, shape = copy.deepcopy(module).cpu().to(dtype), (2, widths[-1])
    try:
        with torch.no_grad():
            out = module.eval()(torch.zeros((2, widths[0]), dtype=dtype))
    except Exception as error:
        raise ValueError(
            f"{name} cannot take rows of shape (n_samples, {widths[0]}): {error}"
        ) from error
    found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if found != shape:
        raise ValueError(
            f"{name} turns rows of shape (2, {widths[0]}) into {found}, and "
            f"{shape} is needed. Let its last layer have {widths[-1]} outputs, which "
            f"is {needed}."
        )
    return module
