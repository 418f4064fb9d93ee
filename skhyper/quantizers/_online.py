"""Learn from rows chunk by chunk, with a code as the point that its rows add up to.

A code and its mass say all that k-means needs to know of the rows behind it: their
Lorentz vectors add up to the code's vector times the mass. In flat space the mass is
their weight, and the product their sum. So taking in a chunk is one step of Lloyd's
algorithm on the rows of the chunk and, as further points with their masses for weights,
the codes themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhyper.quantizers._lloyd import Cloud, relocate

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Absorbed(NamedTuple):
    """The codes after a chunk, their masses, and the code of each row."""

    codes: FloatArray
    mass: FloatArray
    labels: IntArray


def absorb(
    cloud: Cloud, labels: IntArray, codes: FloatArray, mass: FloatArray
) -> Absorbed:
    """Move each code to the centroid of the rows behind it and its rows in the chunk.

    A code without a row in the chunk moves onto a costly row instead, if that lowers
    the objective over all rows so far: what stood behind it falls to the nearest code
    that has rows, which costs its mass times the chord between the two.
    """
    manifold = cloud.manifold
    # only ratios matter, and the squares of sums must not overflow
    unit = max(cloud.weight.max(), mass.max())
    weight, mass = cloud.weight / unit, mass / unit
    n_rows = np.bincount(labels, minlength=len(codes))
    idle, busy = np.flatnonzero(n_rows == 0), np.flatnonzero(n_rows)
    heirs = np.arange(len(codes))
    if idle.size:
        heir = busy[manifold.nearest(codes[idle], codes[busy])]
        loss = mass[idle] * manifold.sq_chord(codes[idle], codes[heir])
        cost = cloud.cost(labels, codes) / unit
        labels, moved = relocate(labels, cost, idle, loss)
        heirs[idle[moved]] = heir[moved]
    points = np.vstack([cloud.Z, codes])
    both, owners = Cloud(manifold, points, np.r_[weight, mass]), np.r_[labels, heirs]
    codes = both.centroids(owners, codes)
    mass = masses(both, owners, both.cost(owners, codes), len(codes))
    return Absorbed(codes, unit * mass, labels)


def masses(
    cloud: Cloud, labels: IntArray, cost: FloatArray, n_codes: int
) -> FloatArray:
    """Return the Minkowski length of the Lorentz sum of each code's rows.

    For codes that are centroids it is the product of the sum and the code's vector: the
    sum of the weights times ``cosh(sqrt(c) d)``, which the costs of the rows tell. In
    flat space it is the sum of the weights.
    """
    share = cloud.weight + 2.0 * cloud.manifold.c * cost
    return np.bincount(labels, share, minlength=n_codes).astype(np.float64)


def pad_codes(codes: FloatArray, size: int) -> FloatArray:
    """Return `codes` filled up to `size` with copies of the last one.

    No row is ever nearer to a copy, so that the first costly rows to come take it.
    """
    return np.vstack([codes, np.repeat(codes[-1:], size - len(codes), axis=0)])


def check_grown(name: str, asked: list[int], fitted: list[int]) -> None:
    """Raise a ValueError unless all codebooks are at least as large as fitted."""
    if len(asked) != len(fitted) or any(np.less(asked, fitted)):
        check_unchanged(name, asked, fitted)


def check_unchanged(name: str, asked: Any, fitted: Any) -> None:
    """Raise a ValueError if a parameter asks for something else than was fitted."""
    if asked != fitted:
        raise ValueError(
            f"{name}={asked!r} is not {fitted!r}, as fitted, from where training goes "
            f"on. Set {name} back, or call fit (with warm_start=False) to start anew."
        )
