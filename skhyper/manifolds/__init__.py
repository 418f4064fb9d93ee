"""Constant-curvature spaces, each formula once for NumPy arrays and torch tensors."""

from skhyper.manifolds._conversions import (
    klein_to_poincare,
    lorentz_to_poincare,
    poincare_to_klein,
    poincare_to_lorentz,
)
from skhyper.manifolds._euclidean import Euclidean
from skhyper.manifolds._lorentz import Lorentz
from skhyper.manifolds._poincare import PoincareBall

__all__ = [
    "Euclidean",
    "Lorentz",
    "PoincareBall",
    "klein_to_poincare",
    "lorentz_to_poincare",
    "poincare_to_klein",
    "poincare_to_lorentz",
]
