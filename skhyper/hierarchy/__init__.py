"""Hierarchies, given by their edges: points of their nodes, and codes.

The estimators take edges (child, parent) in `fit` and labels of nodes everywhere else.
"""

from skhyper.hierarchy._poincare import PoincareEmbedding
from skhyper.hierarchy._tokenizer import HierarchyTokenizer

__all__ = ["HierarchyTokenizer", "PoincareEmbedding"]
