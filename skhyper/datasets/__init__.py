"""Data with a known hierarchy: one real set that ships, and generators."""

from skhyper.datasets._generated import make_hyperbolic_blobs, make_tree
from skhyper.datasets._naics import load_naics

__all__ = ["load_naics", "make_hyperbolic_blobs", "make_tree"]
