"""Codes as the tokens of a generative model."""

from skhyper.generative._likelihood import reconstruction_scale
from skhyper.generative._prior import TokenPrior

__all__ = ["TokenPrior", "reconstruction_scale"]
