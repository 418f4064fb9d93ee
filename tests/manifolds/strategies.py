"""Spaces and points on which the laws are checked, and the error they are allowed.

Coordinates near the rim are coarse: rounding a point moves it by about ``eps / A``
radii of curvature, with ``A = 1 - c |x|^2``. No formula can be better than that, and
the ones here must not be much worse, so every tolerance is a small multiple of
`Space.rounding`, the sum of ``eps / A`` over the points that enter a law.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from skhyper.manifolds import Lorentz, PoincareBall

CURVATURES = (0.01, 0.3, 1.0, 2.7, 50.0)
# How far from the origin points lie, in radii of curvature: three such steps in a row
# stay inside what the coordinates of the dtype carry (15 and 35).
REACH = {"float32": 5.0, "float64": 11.0}


def to_numpy(x):
    """Return an array of either kind as NumPy, in float64."""
    return np.asarray(x, dtype=np.float64)


@dataclass(frozen=True)
class Space:
    """A ball, and the kind and dtype of the arrays that it is given."""

    c: float
    dtype: str
    kind: str

    def __str__(self):
        return f"c={self.c:g}-{self.dtype}-{self.kind}"

    @property
    def ball(self):
        return PoincareBall(self.c)

    @property
    def sheet(self):
        return Lorentz(self.c)

    @property
    def scale(self):
        """``sqrt(c)``: lengths times this are in radii of curvature."""
        return self.c**0.5

    @property
    def eps(self):
        return float(np.finfo(self.dtype).eps)

    def array(self, values):
        values = np.asarray(values, dtype=self.dtype)
        return values if self.kind == "numpy" else torch.from_numpy(values.copy())

    def tangents(self, shares, reach=None):
        """Tangent vectors at 0; a share of length 1 is `reach` radii of curvature."""
        reach = REACH[self.dtype] if reach is None else reach
        return self.array(np.asarray(shares) * (reach / 2 / self.scale))

    def points(self, shares, reach=None):
        return self.ball.expmap0(self.tangents(shares, reach))

    def gap(self, x):
        x = to_numpy(x)
        return 1.0 - self.c * np.sum(x * x, axis=-1)

    def rounding(self, *points):
        """Sum over `points` of how far rounding moves them, in radii of curvature."""
        return self.eps * sum(1.0 / self.gap(x) for x in points)

    def separation(self, x, y):
        """Distance in radii of curvature, in float64, whatever the arrays are."""
        difference = np.linalg.norm(to_numpy(x) - to_numpy(y), axis=-1)
        chord = self.scale * difference / np.sqrt(self.gap(x) * self.gap(y))
        return 2.0 * np.arcsinh(chord)


SPACES = [
    Space(c, dtype, kind)
    for c, dtype, kind in product(CURVATURES, REACH, ("numpy", "torch"))
]
FLOAT64_SPACES = [s for s in SPACES if s.dtype == "float64" and s.kind == "numpy"]

# lengths of all sizes, not only of order 1: residuals are small
LENGTHS = st.one_of(
    st.floats(0.0, 1.0, width=16), st.sampled_from([0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0])
)


@st.composite
def vector_sets(draw, n_sets, n_rows=3):
    """Draw (n_sets, n_rows, d) vectors no longer than 1."""
    d = draw(st.sampled_from([1, 2, 5]))
    directions = draw(
        arrays(np.float64, (n_sets, n_rows, d), elements=st.integers(-9, 9))
    )
    lengths = draw(arrays(np.float64, (n_sets, n_rows, 1), elements=LENGTHS))
    norms = np.linalg.norm(directions, axis=-1, keepdims=True)
    return lengths * directions / np.where(norms > 0, norms, 1.0)


def law(n_sets, n_rows=3, spaces=SPACES, max_examples=6):
    """Check a test ``(space, shares)`` in every space, on drawn sets of vectors."""

    def decorate(test):
        drawn = given(shares=vector_sets(n_sets, n_rows))(test)
        quiet = settings(max_examples=max_examples)
        return pytest.mark.parametrize("space", spaces, ids=str)(quiet(drawn))

    return decorate


def assert_within(error, allowed):
    """Assert ``error <= allowed`` everywhere; nan fails."""
    error, allowed = np.broadcast_arrays(np.abs(error), allowed)
    worst = np.argmax(np.where(np.isnan(error), np.inf, error - allowed))
    assert np.all(error <= allowed), (
        f"error {error.flat[worst]:.3g} where {allowed.flat[worst]:.3g} is allowed"
    )
