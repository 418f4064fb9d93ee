"""What is left of a point after a code is taken away, and the way back.

``exact`` is the pair that telescopes: ``r_i = (-q_i) (+) r_{i-1}`` and the fold from
the last code, ``q_1 (+) (q_2 (+) (...))``, so that ``d(z_hat_m, z) = d(0, r_m)`` for
every prefix (left cancellation; Colombo & Ayoughi 2026, Eq. 8). ``paper`` is the pair
of Piekos et al. (2025): subtract on the right, add on the left; it does not telescope.
``tangent`` subtracts and adds logarithms at the origin. In flat space all agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

from skhyper.manifolds._ops import Array

Manifold = Any


class ResidualRule(NamedTuple):
    """How residuals are taken, and codes put together again."""

    subtract: Callable[[Manifold, Array, Array], Array]
    fold: Callable[[Manifold, Sequence[Array]], Array]


def _subtract_exact(manifold: Manifold, r: Array, q: Array) -> Array:
    return manifold.add(-q, r)


def _fold_right(manifold: Manifold, codes: Sequence[Array]) -> Array:
    return reduce(lambda total, q: manifold.add(q, total), reversed(codes))


def _subtract_paper(manifold: Manifold, r: Array, q: Array) -> Array:
    return manifold.add(r, -q)


def _fold_left(manifold: Manifold, codes: Sequence[Array]) -> Array:
    return reduce(manifold.add, codes)


def _subtract_tangent(manifold: Manifold, r: Array, q: Array) -> Array:
    return manifold.expmap0(manifold.logmap0(r) - manifold.logmap0(q))


def _fold_tangent(manifold: Manifold, codes: Sequence[Array]) -> Array:
    return manifold.expmap0(sum(manifold.logmap0(q) for q in codes))


RESIDUAL_RULES = {
    "exact": ResidualRule(_subtract_exact, _fold_right),
    "paper": ResidualRule(_subtract_paper, _fold_left),
    "tangent": ResidualRule(_subtract_tangent, _fold_tangent),
}
