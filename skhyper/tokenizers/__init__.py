"""Data to codes and back through a trained encoder and decoder."""

from skhyper.tokenizers._hrqvae import HRQVAETokenizer
from skhyper.tokenizers._rqvae import RQVAETokenizer

__all__ = ["HRQVAETokenizer", "RQVAETokenizer"]
