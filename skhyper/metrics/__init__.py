"""What codes are worth: use, uniqueness, agreement with a hierarchy, and error.

Functions of codes take those of a whole data set as integers of shape
(n_samples, n_levels), column 0 the coarsest, whoever made them. The scorers measure
the same of an estimator, for model selection. Of the data before any code,
`delta_hyperbolicity` tells how tree-like they are. Where the hierarchy is known as
edges, others tell how far points and codes follow it, and what is found of it with and
without a model.
"""

from skhyper.metrics._agreement import prefix_agreement
from skhyper.metrics._codes import (
    codebook_usage,
    collision_rate,
    dead_codes,
    perplexity,
)
from skhyper.metrics._coherence import (
    norm_statistics,
    prefix_coherence,
    tree_distortion,
)
from skhyper.metrics._distortion import distortion, relative_distortion
from skhyper.metrics._hyperbolicity import delta_hyperbolicity
from skhyper.metrics._ranking import hierarchy_ranking
from skhyper.metrics._recommendation import ndcg_at_k, paired_bootstrap
from skhyper.metrics._report import code_report
from skhyper.metrics._report_views import CodeReport
from skhyper.metrics._retrieval import (
    composition_recall,
    popularity_recall,
    recall_at_k,
)
from skhyper.metrics._scorers import (
    make_bit_budget_scorer,
    make_collision_scorer,
    make_prefix_agreement_scorer,
)

__all__ = [
    "CodeReport",
    "code_report",
    "codebook_usage",
    "collision_rate",
    "composition_recall",
    "dead_codes",
    "delta_hyperbolicity",
    "distortion",
    "hierarchy_ranking",
    "make_bit_budget_scorer",
    "make_collision_scorer",
    "make_prefix_agreement_scorer",
    "ndcg_at_k",
    "norm_statistics",
    "paired_bootstrap",
    "perplexity",
    "popularity_recall",
    "prefix_agreement",
    "prefix_coherence",
    "recall_at_k",
    "relative_distortion",
    "tree_distortion",
]
