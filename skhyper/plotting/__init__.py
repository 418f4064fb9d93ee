"""Figures: what was computed, held by an object that can draw itself."""

from skhyper.plotting._disk import PoincareDiskDisplay

__all__ = ["PoincareDiskDisplay"]
