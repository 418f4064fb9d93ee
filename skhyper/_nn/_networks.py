"""Encoders and decoders as an estimator's parameters ask for them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skhyper._nn._layers import MobiusMLP, mlp


def build_networks(
    encoder: Any,
    decoder: Any,
    widths: Sequence[int],
    manifold: Any,
    dtype: torch.dtype,
) -> tuple[nn.Module, nn.Module]:
    """Return a new encoder and a new decoder.

    Parameters
    ----------
    encoder : None, "hyperbolic" or Module
        None is an MLP. A module is copied: training leaves the user's own alone.
    decoder : None or Module
        None mirrors what `encoder` would be without a module.
    widths : sequence of int
        Number of features, widths of the hidden layers, latent dimensions.
    manifold : Euclidean or PoincareBall
        Where hyperbolic layers work.
    dtype : torch.dtype
        Of a user's own network from now on.

    Raises
    ------
    ValueError
        If a module is no torch Module, or its widths are wrong.
    """
    back = widths[::-1]
    hyperbolic = isinstance(encoder, str)
    gain = widths[0] ** 0.5  # mean square lengths of 1 on both sides
    if encoder is None:
        first: nn.Module = mlp(widths)
    elif hyperbolic:
        first = MobiusMLP(widths, manifold, (1 / gain, 1.0))
    else:
        first = _own("encoder", encoder, widths, dtype)
    if decoder is not None:
        return first, _own("decoder", decoder, back, dtype)
    if hyperbolic:
        return first, MobiusMLP(back, manifold, (1.0, gain))
    return first, mlp(back)


def _own(
    name: str, module: Any, widths: Sequence[int], dtype: torch.dtype
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
        needed = "latent_dim" if name == "encoder" else "the number of features"
        raise ValueError(
            f"{name} turns rows of shape (2, {widths[0]}) into {found}, and "
            f"{shape} is needed. Let its last layer have {widths[-1]} outputs, which "
            f"is {needed}."
        )
    return module
