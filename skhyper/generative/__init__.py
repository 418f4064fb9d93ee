"""Codes as the tokens of a generative model, and as the names of items."""

from skhyper.generative._baselines import (
    ItemKNNRecommender,
    MarkovRecommender,
    PopularityRecommender,
)
from skhyper.generative._counter import add_counter
from skhyper.generative._exchange import (
    added_tokens,
    codes_to_strings,
    read_index_json,
    strings_to_codes,
    token_embeddings,
    write_index_json,
)
from skhyper.generative._index import CodeIndex
from skhyper.generative._likelihood import reconstruction_scale
from skhyper.generative._packing import pack_codes, unpack_codes
from skhyper.generative._prior import TokenPrior
from skhyper.generative._recommender import GenerativeRecommender
from skhyper.generative._retriever import GenerativeRetriever
from skhyper.generative._sasrec import SASRecRecommender

__all__ = [
    "CodeIndex",
    "GenerativeRecommender",
    "GenerativeRetriever",
    "ItemKNNRecommender",
    "MarkovRecommender",
    "PopularityRecommender",
    "SASRecRecommender",
    "TokenPrior",
    "add_counter",
    "added_tokens",
    "codes_to_strings",
    "pack_codes",
    "read_index_json",
    "reconstruction_scale",
    "strings_to_codes",
    "token_embeddings",
    "unpack_codes",
    "write_index_json",
]
