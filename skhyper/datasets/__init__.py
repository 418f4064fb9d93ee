"""Data with a known hierarchy or content: real sets, and generators."""

from skhyper.datasets._amazon import fetch_amazon_reviews_2014
from skhyper.datasets._edges import hypernymy_split, transitive_closure
from skhyper.datasets._generated import make_hyperbolic_blobs, make_tree
from skhyper.datasets._movielens import fetch_movielens
from skhyper.datasets._naics import load_naics
from skhyper.datasets._sequences import leave_one_out
from skhyper.datasets._sound import fetch_speech, make_tones
from skhyper.datasets._store import make_store
from skhyper.datasets._wordnet import fetch_wordnet_nouns, load_wordnet_mammals

__all__ = [
    "fetch_amazon_reviews_2014",
    "fetch_movielens",
    "fetch_speech",
    "fetch_wordnet_nouns",
    "hypernymy_split",
    "leave_one_out",
    "load_naics",
    "load_wordnet_mammals",
    "make_hyperbolic_blobs",
    "make_store",
    "make_tones",
    "make_tree",
    "transitive_closure",
]
