"""Vectors to codes without a network."""

from skhyper.quantizers._kmeans import HyperbolicKMeans
from skhyper.quantizers._residual import (
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
)

__all__ = ["HyperbolicKMeans", "HyperbolicResidualQuantizer", "ResidualQuantizer"]
