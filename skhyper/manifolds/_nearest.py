"""Nearest codes from matrix products, with near ties settled exactly.

The code nearest to x on the ball is ``argmin_k |x - c_k|^2 / A_k`` with ``A_k = 1 -
c |c_k|^2``: one matrix product and no transcendental function. A product rounds,
though, and how it rounds depends on the shape of the block and on the threads. So it
only shortlists: every code whose score lies within the proven rounding error of the
best stays a candidate, first in float32, then in float64, and what is left is settled
by real differences, row by row. The answer is the float64 answer, and a pure function
of the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhyper.manifolds._ops import Array, is_numpy, sqnorm

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

# Rows of a block. A thread hands on the interpreter lock at every step of its block,
# and on short blocks two threads then take as long as one.
BLOCK_ROWS = 4096
# scores computed at once: in float32 they stay in the second-level cache
BLOCK_SCORES = 2**18
# pairs of a row and a code whose differences are taken at once
BLOCK_PAIRS = 8192


class CodeScores:
    """Scores ``|x - c_k|^2 / A_k`` of rows against one table of codes.

    Parameters
    ----------
    codes : array of shape (n_codes, n_features)
        The codes.
    gap : array of shape (n_codes,)
        ``A_k``; ones in flat space.
    """

    def __init__(self, codes: FloatArray, gap: FloatArray) -> None:
        self.codes = np.ascontiguousarray(codes, dtype=np.float64)
        self.gap = np.ascontiguousarray(gap, dtype=np.float64)
        # Scores are homogeneous: where squares might overflow or underflow, a power of
        # two brings the codes to size 1, and costs no digit.
        largest = float(np.abs(self.codes).max())
        exponent = int(np.frexp(largest)[1])
        ordinary = abs(exponent) < 16 or largest < np.finfo(np.float64).tiny
        self._unit = 1.0 if ordinary else 2.0**-exponent
        self._unit_codes = self.codes * self._unit
        self._rough = _Bounds(self._unit_codes, self.gap, np.float32)
        self._fine = _Bounds(self._unit_codes, self.gap, np.float64)

    def exact(self, X: FloatArray, codes: IntArray) -> FloatArray:
        """Return the score of each row ``X[i]`` against ``codes[i]``, exactly."""
        difference = X - self.codes[codes]
        return np.sum(difference * difference, axis=1) / self.gap[codes]

    def nearest(self, X: FloatArray, square: FloatArray | None = None) -> IntArray:
        """Return the index of the nearest code of each row, exactly.

        `square` is ``|x|^2`` of each row, where the caller has it already.
        """
        if len(self.codes) == 1:
            return np.zeros(len(X), dtype=np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            X, square = self._scaled(X, square)
            best, close = self._rough.nearest(X, square)
            if close.size:
                X, square = X[close], square[close]
                best[close], still = self._fine.nearest(X, square)
                best[close[still]] = self._settle(X[still], square[still])
        return best

    def candidates(
        self, X: FloatArray, n_best: int
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return (row, code, exact score) of codes that hold the `n_best` of each row.

        A few more come along where the product cannot tell them apart.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            row, code = self._fine.shortlist(*self._scaled(X), n_best)
            return row, code, self._pairs(X, self.codes, row, code)

    def _scaled(
        self, X: FloatArray, square: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the rows in units of the codes, and their squared lengths."""
        if self._unit != 1.0:
            X, square = X * self._unit, None
        return X, sqnorm(np, X)[:, 0] if square is None else square

    def _settle(self, X: FloatArray, square: FloatArray) -> IntArray:
        """Choose by real differences among the codes that may be nearest."""
        best = np.empty(len(X), dtype=np.int64)
        step = max(1, BLOCK_SCORES // len(self.codes))
        for start in range(0, len(X), step):
            block = slice(start, start + step)
            rows = X[block]
            row, code = self._fine.shortlist(rows, square[block], 1)
            score = self._pairs(rows, self._unit_codes, row, code)
            lowest = np.minimum.reduceat(
                score, np.searchsorted(row, np.arange(len(rows)))
            )
            hit = np.flatnonzero(score == lowest[row])
            # pairs are sorted by row, then code: the first hit has the lowest index
            _, first = np.unique(row[hit], return_index=True)
            best[block] = code[hit[first]]
        return best

    def _pairs(
        self, X: FloatArray, codes: FloatArray, row: IntArray, code: IntArray
    ) -> FloatArray:
        """Return the scores of pairs of rows and `codes`, by real differences."""
        score = np.empty(len(row))
        # many copies of one code make every pair a near tie: bound the memory
        for start in range(0, len(row), BLOCK_PAIRS):
            pairs = slice(start, start + BLOCK_PAIRS)
            difference = X[row[pairs]] - codes[code[pairs]]
            score[pairs] = np.sum(difference * difference, axis=1)
        return score / self.gap[code]


class _Bounds:
    """Lower and upper bounds of exact scores, from a matrix product in one dtype.

    A dot product of m terms, as rounded, errs by less than ``gamma sum |a_i b_i|`` with
    ``gamma = m u / (1 - m u)`` (Higham, Accuracy and Stability of Numerical Algorithms,
    section 3.1), whatever the order of the terms. The sum for ``[x, |x|^2, 1] . [-2 w
    c, w, w |c|^2]`` is at most ``2 size``, ``size = w (|x|^2 + |c|^2)``, and so is the
    score. With ``2 gamma size`` taken off by way of the factors, the product is no more
    than the score, and no less than the score minus ``4 gamma size``: its reach.

    Parameters
    ----------
    codes : float64 array of shape (n_codes, n_features)
        The codes, of a size whose squares are ordinary numbers.
    gap : float64 array of shape (n_codes,)
        ``A_k = 1 / w_k``.
    dtype : numpy.float32 or numpy.float64
        In which the product is taken.
    """

    def __init__(
        self, codes: FloatArray, gap: FloatArray, dtype: type[np.floating[Any]]
    ) -> None:
        weight = 1.0 / gap
        offset = weight * np.sum(codes**2, axis=1)
        n_features = codes.shape[1]
        # the terms, and a few roundings of each factor; then, always in float64, those
        # of the squared lengths and of the real differences themselves
        mu = (n_features + 12) * float(np.finfo(dtype).eps) / 2
        mu += (2 * n_features + 12) * float(np.finfo(np.float64).eps) / 2
        gamma = mu / (1.0 - mu)
        lowered = 1.0 - 2.0 * gamma
        cross = -2.0 * (weight[:, None] * codes).T
        table = np.vstack([cross, lowered * weight, lowered * offset])
        self._table = table.astype(dtype)
        # what underflows is lost for good
        tiny = 8 * (n_features + 8) * float(np.finfo(dtype).tiny) * weight.max()
        self._slope, self._offset = 4 * gamma * weight, 4 * gamma * offset + tiny

    def nearest(self, X: FloatArray, square: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the likely nearest code of each row, and the rows without a proof.

        A row has its proof if the upper bound of its code lies below the lower bounds
        of all others. `square` is ``|x|^2``.
        """
        best, lowest, second = self._two_lowest(self._factors(X, square))
        # With the farthest reach of any code few rows are in doubt, and only for those
        # the reach of their own code is looked up.
        upper = self._farthest(square)
        upper += lowest
        doubt = np.flatnonzero(~_proven(upper, second))
        upper = lowest[doubt] + self._reach(square[doubt], best[doubt])
        return best, doubt[~_proven(upper, second[doubt])]

    def _two_lowest(
        self, factors: FloatArray
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return the code with the lowest bound of each row, that bound and the next.

        Where the next is below 0, none of the three need be right.
        """
        n_rows, n_codes = len(factors), self._table.shape[1]
        best = np.empty(n_rows, dtype=np.int64)
        lowest, second = np.empty((2, n_rows))
        step = min(n_rows, max(1, BLOCK_SCORES // n_codes))
        buffer = np.empty((step, n_codes), dtype=factors.dtype)
        row_starts = np.arange(0, buffer.size, n_codes)
        for start in range(0, n_rows, step):
            block = slice(start, start + step)
            rows = factors[block]
            bounds = np.matmul(rows, self._table, out=buffer[: len(rows)])
            # Floats from 0 up are ordered as their bits are, read as integers, which
            # have the faster min. Floats below 0 are integers below 0 in reverse order.
            bits = bounds.view(f"i{bounds.itemsize}")
            at = row_starts[: len(rows)] + bits.argmin(axis=1, out=best[block])
            flat = bounds.reshape(-1)
            lowest[block] = flat.take(at)
            flat[at] = np.inf
            second[block] = bits.min(axis=1).view(bounds.dtype)
        return best, lowest, second

    def shortlist(
        self, X: FloatArray, square: FloatArray, n_best: int
    ) -> tuple[IntArray, IntArray]:
        """Return (row, code) of all codes that may be among the `n_best` of a row."""
        bounds = self._factors(X, square) @ self._table
        last = min(n_best, bounds.shape[1]) - 1
        upper = np.partition(bounds, last, axis=1)[:, last] + self._farthest(square)
        row, code = np.nonzero(~(bounds > upper[:, None]))
        return row, code

    def _factors(self, X: FloatArray, square: FloatArray) -> FloatArray:
        factors = np.empty((len(X), len(self._table)), dtype=self._table.dtype)
        factors[:, :-2] = X
        factors[:, -2] = square
        factors[:, -1] = 1.0
        return factors

    def _reach(self, square: FloatArray, codes: IntArray) -> FloatArray:
        """Return how far above its lower bound the score of a code may lie."""
        return self._slope.take(codes) * square + self._offset.take(codes)

    def _farthest(self, square: FloatArray) -> FloatArray:
        """Return how far above its lower bound the score of any code may lie."""
        return self._slope.max() * square + self._offset.max()


def _proven(upper: FloatArray, lower: FloatArray) -> NDArray[np.bool_]:
    """Whether scores up to `upper` are below those from `lower`; not on overflow."""
    return (lower > np.maximum(upper, 0.0)) & (lower < np.inf)


def nearest_code(
    xp: Any, X: Array, codes: Array, gap: Callable[[Array], Array]
) -> Array:
    """Index of the nearest code of each row, for arrays of either kind."""
    if not is_numpy(X):
        # in training the product's own rounding is good enough
        weight = 1.0 / gap(codes)[:, 0]
        cross = X @ (codes * weight[:, None]).mT
        offset = weight * sqnorm(xp, codes)[:, 0]
        return xp.argmin(sqnorm(xp, X) * weight - 2.0 * cross + offset, axis=-1)
    codes = np.ascontiguousarray(codes, dtype=np.float64)
    scores = CodeScores(codes, gap(codes)[:, 0])
    X = np.ascontiguousarray(X, dtype=np.float64)
    if not np.isfinite(X).all():
        raise ValueError("X has points with NaN or infinity, which no code is near.")
    labels = np.empty(len(X), dtype=np.int64)
    for start in range(0, len(X), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        labels[block] = scores.nearest(X[block])
    return labels
