"""Figures: what was computed, held by an object that can draw itself."""

from skhyper.plotting._disk import PoincareDiskDisplay
from skhyper.plotting._latent import LatentDisplay
from skhyper.plotting._reconstruction import ReconstructionDisplay
from skhyper.plotting._usage import CodebookUsageDisplay

__all__ = [
    "CodebookUsageDisplay",
    "LatentDisplay",
    "PoincareDiskDisplay",
    "ReconstructionDisplay",
]
