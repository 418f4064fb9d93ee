"""Small models for the tests of this folder."""

import numpy as np
import torch

from skhyper._nn._layers import mlp
from skhyper._nn._model import Autoencoder
from skhyper._nn._nearest import NearestCodes
from skhyper._nn._runtime import seeded

N_FEATURES, LATENT_DIM = 6, 3


def build(manifold, residual="exact", sizes=(5, 4), seed=0, **parts):
    with seeded(seed, torch.device("cpu")):
        model = Autoencoder(
            mlp([N_FEATURES, 7, LATENT_DIM]),
            mlp([LATENT_DIM, 7, N_FEATURES]),
            NearestCodes(manifold, residual=residual, **parts),
            point_dtype=torch.float64,
            dtype=torch.float64,
            latent_dim=LATENT_DIM,
        )
    rng = np.random.RandomState(seed)
    model.set_codebooks([0.3 * rng.randn(size, LATENT_DIM) for size in sizes])
    return model


def batch(n=20, seed=1):
    rng = np.random.RandomState(seed)
    weight = rng.uniform(0.2, 2, n)
    return torch.from_numpy(rng.randn(n, N_FEATURES)), torch.from_numpy(weight)


def losses(model, x, weight, commitment_weight=0.25):
    """The losses of a batch, and how it was quantized."""
    model.bottleneck.commitment_weight = commitment_weight
    z = model.manifold.expmap0(model.latents(x)[0])
    quantized = model.bottleneck.quantize(z, weight, model.training)
    return model.losses(x, weight)[0], quantized
