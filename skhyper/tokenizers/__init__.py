"""Data to codes and back through a trained encoder and decoder."""

from skhyper.tokenizers._hrqvae import HRQVAETokenizer
from skhyper.tokenizers._hypervq import HyperVQTokenizer
from skhyper.tokenizers._rqvae import RQVAETokenizer
from skhyper.tokenizers._softvq import SoftVQTokenizer
from skhyper.tokenizers._vqvae import VQVAETokenizer

__all__ = [
    "HRQVAETokenizer",
    "HyperVQTokenizer",
    "RQVAETokenizer",
    "SoftVQTokenizer",
    "VQVAETokenizer",
]
