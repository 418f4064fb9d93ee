"""Hierarchical discrete codes from vectors, in flat or hyperbolic space."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

# where each estimator lives; a name is imported when it is first asked for
_NAMES = {
    "CodeIndex": "skhyper.generative",
    "GenerativeRecommender": "skhyper.generative",
    "GenerativeRetriever": "skhyper.generative",
    "HRQVAETokenizer": "skhyper.tokenizers",
    "HierarchyTokenizer": "skhyper.hierarchy",
    "ItemKNNRecommender": "skhyper.generative",
    "MarkovRecommender": "skhyper.generative",
    "PopularityRecommender": "skhyper.generative",
    "SASRecRecommender": "skhyper.generative",
    "HyperVQClassifier": "skhyper.classification",
    "HyperVQTokenizer": "skhyper.tokenizers",
    "HyperbolicKMeans": "skhyper.quantizers",
    "HyperbolicLogisticRegression": "skhyper.classification",
    "HyperbolicResidualQuantizer": "skhyper.quantizers",
    "PoincareEmbedding": "skhyper.hierarchy",
    "RQVAETokenizer": "skhyper.tokenizers",
    "ResidualQuantizer": "skhyper.quantizers",
    "SoftVQTokenizer": "skhyper.tokenizers",
    "TokenPrior": "skhyper.generative",
    "VQVAETokenizer": "skhyper.tokenizers",
}
__all__ = [
    "CodeIndex",
    "GenerativeRecommender",
    "GenerativeRetriever",
    "HRQVAETokenizer",
    "HierarchyTokenizer",
    "HyperVQClassifier",
    "HyperVQTokenizer",
    "HyperbolicKMeans",
    "HyperbolicLogisticRegression",
    "HyperbolicResidualQuantizer",
    "ItemKNNRecommender",
    "MarkovRecommender",
    "PoincareEmbedding",
    "PopularityRecommender",
    "RQVAETokenizer",
    "ResidualQuantizer",
    "SASRecRecommender",
    "SoftVQTokenizer",
    "TokenPrior",
    "VQVAETokenizer",
    "__version__",
    "callbacks",
    "classification",
    "datasets",
    "generative",
    "hierarchy",
    "io",
    "manifolds",
    "metrics",
    "plotting",
    "presets",
    "quantizers",
    "tokenizers",
]

if TYPE_CHECKING:
    from skhyper import (
        callbacks,
        classification,
        datasets,
        generative,
        hierarchy,
        io,
        manifolds,
        metrics,
        plotting,
        presets,
        quantizers,
        tokenizers,
    )
    from skhyper.classification import (
        HyperbolicLogisticRegression,
        HyperVQClassifier,
    )
    from skhyper.generative import (
        CodeIndex,
        GenerativeRecommender,
        GenerativeRetriever,
        ItemKNNRecommender,
        MarkovRecommender,
        PopularityRecommender,
        SASRecRecommender,
        TokenPrior,
    )
    from skhyper.hierarchy import HierarchyTokenizer, PoincareEmbedding
    from skhyper.quantizers import (
        HyperbolicKMeans,
        HyperbolicResidualQuantizer,
        ResidualQuantizer,
    )
    from skhyper.tokenizers import (
        HRQVAETokenizer,
        HyperVQTokenizer,
        RQVAETokenizer,
        SoftVQTokenizer,
        VQVAETokenizer,
    )


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"skhyper.{name}")
    raise AttributeError(f"module 'skhyper' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
