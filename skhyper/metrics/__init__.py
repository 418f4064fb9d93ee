"""What codes are worth: use, uniqueness, agreement with a hierarchy, and error.

Every function takes the codes of a whole data set as integers of shape
(n_samples, n_levels), column 0 the coarsest, whoever made them.
"""

from skhyper.metrics._agreement import prefix_agreement
from skhyper.metrics._codes import (
    codebook_usage,
    collision_rate,
    dead_codes,
    perplexity,
)
from skhyper.metrics._distortion import distortion, relative_distortion

__all__ = [
    "codebook_usage",
    "collision_rate",
    "dead_codes",
    "distortion",
    "perplexity",
    "prefix_agreement",
    "relative_distortion",
]
