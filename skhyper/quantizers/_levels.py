"""Fit one codebook a level: k-means of what the levels before leave over."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skhyper.manifolds._residual import RESIDUAL_RULES
from skhyper.quantizers._lloyd import Cloud, kmeans

FloatArray = NDArray[np.float64]


class Levels(NamedTuple):
    """Codebooks, coarsest first, and the iterations of the level that took most."""

    codebooks: list[FloatArray]
    n_iter: int


def fit_levels(
    manifold: Any,
    Z: FloatArray,
    weight: FloatArray,
    sizes: list[int],
    *,
    residual: str,
    rng: np.random.RandomState,
    n_init: int,
    max_iter: int,
    tol: float,
) -> Levels:
    """Return the codebooks of a greedy residual quantizer for weighted points.

    A codebook is smaller than asked for where there are fewer distinct residuals.
    """
    rule = RESIDUAL_RULES[residual]
    codebooks, n_iter, rest = [], 0, Z
    for size in sizes:
        result = kmeans(
            Cloud(manifold, rest, weight),
            size,
            rng=rng,
            n_init=n_init,
            max_iter=max_iter,
            tol=tol,
        )
        codebooks.append(result.centers)
        n_iter = max(n_iter, result.n_iter)
        rest = rule.subtract(manifold, rest, result.centers[result.labels])
    return Levels(codebooks, n_iter)


def warn_if_short(codebook_size: Any, sizes: list[int], fitted: list[int]) -> None:
    """Warn if there were too few distinct points to fill the codebooks."""
    if fitted != sizes:
        warnings.warn(
            f"codebook_size={codebook_size!r}, but there were too few distinct rows "
            f"or residuals for it: the fitted codebooks have {fitted} codes. Lower "
            "codebook_size or n_levels, or give more samples.",
            ConvergenceWarning,
            stacklevel=3,
        )
