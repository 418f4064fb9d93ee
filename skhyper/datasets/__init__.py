"""Data with a known hierarchy or content: a real set that ships, and generators."""

from skhyper.datasets._generated import make_hyperbolic_blobs, make_tree
from skhyper.datasets._naics import load_naics
from skhyper.datasets._sound import fetch_speech, make_tones

__all__ = [
    "fetch_speech",
    "load_naics",
    "make_hyperbolic_blobs",
    "make_tones",
    "make_tree",
]
