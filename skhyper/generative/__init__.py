"""Codes as the tokens of a generative model."""

from skhyper.generative._counter import add_counter
from skhyper.generative._likelihood import reconstruction_scale
from skhyper.generative._prior import TokenPrior
from skhyper.generative._retriever import GenerativeRetriever

__all__ = ["GenerativeRetriever", "TokenPrior", "add_counter", "reconstruction_scale"]
