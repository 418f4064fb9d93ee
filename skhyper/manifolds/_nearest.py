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

# rows of a block: its scores (x 256 codes, float32) stay in the second-level cache
BLOCK_ROWS = 1024
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
        n_features = self.codes.shape[1]
        # Scores are homogeneous: a power of two brings the codes to size 1, so that
        # no square overflows or underflows, and costs no digit.
        largest = float(np.abs(self.codes).max())
        normal = largest >= np.finfo(np.float64).tiny
        self._unit = 2.0 ** -np.floor(np.log2(largest)) if normal else 1.0
        unit_codes = self.codes * self._unit
        unit_length = np.sqrt(np.sum(unit_codes**2, axis=1))
        weight = 1.0 / self.gap
        # |x - c|^2 w = [x, |x|^2, 1] . [-2 w c, w, w |c|^2]: one product does it all
        table = np.vstack(
            [-2.0 * (weight[:, None] * unit_codes).T, weight, weight * unit_length**2]
        )
        self._tables = {np.float32: table.astype(np.float32), np.float64: table}
        # a dot product of m terms errs by less than m u sum |a_i b_i|, and here the
        # sum is at most w (|x| + |c|)^2; a few u more for rounding the factors
        self._terms = n_features + 8
        self._root_weight = float(np.sqrt(weight.max()))
        self._root_offset = float((np.sqrt(weight) * unit_length).max())

    def shortlist(
        self, X: FloatArray, dtype: type[np.floating[Any]]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the scores of `X` in `dtype`, and the error bound of each row."""
        rows = X * self._unit
        square = np.sum(rows * rows, axis=1)
        augmented = np.empty((len(X), X.shape[1] + 2), dtype=dtype)
        augmented[:, :-2] = rows
        augmented[:, -2] = square
        augmented[:, -1] = 1.0
        reach = self._root_weight * np.sqrt(square) + self._root_offset
        error = (self._terms * float(np.finfo(dtype).eps) / 2) * reach**2
        return augmented @ self._tables[dtype], error

    def exact(self, X: FloatArray, codes: IntArray) -> FloatArray:
        """Return the score of each row ``X[i]`` against ``codes[i]``, exactly."""
        difference = X - self.codes[codes]
        return np.sum(difference * difference, axis=1) / self.gap[codes]

    def nearest(self, X: FloatArray) -> IntArray:
        """Return the index of the nearest code of each row of a block, exactly."""
        if len(self.codes) == 1:
            return np.zeros(len(X), dtype=np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._nearest(X, np.float32)

    def _nearest(self, X: FloatArray, dtype: type[np.floating[Any]]) -> IntArray:
        scores, error = self.shortlist(X, dtype)
        rows = np.arange(len(X))
        best = scores.argmin(axis=1)
        lowest = scores[rows, best]
        scores[rows, best] = np.inf
        # argmin is vectorised where min along the rows is not
        second = scores[rows, scores.argmin(axis=1)]
        # written so that an overflow (nan) counts as a near tie
        close = ~(second - lowest > 2.0 * error)
        if close.any():
            rows = np.flatnonzero(close)
            if dtype is np.float32:
                best[rows] = self._nearest(X[rows], np.float64)
            else:
                scores[rows, best[rows]] = lowest[rows]
                reach = (lowest + 2.0 * error)[rows]
                best[rows] = self._settle(X[rows], scores[rows], reach)
        return best

    def candidates(
        self, X: FloatArray, n_best: int
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Return (row, code, exact score) of codes that hold the `n_best` of each row.

        A few more come along where the product cannot tell them apart.
        """
        scores, error = self.shortlist(X, np.float64)
        n_best = min(n_best, len(self.codes))
        last = np.partition(scores, n_best - 1, axis=1)[:, n_best - 1]
        row, code = np.nonzero(~(scores > (last + 2.0 * error)[:, None]))
        return row, code, self.exact(X[row], code)

    def _settle(self, X: FloatArray, scores: FloatArray, reach: FloatArray) -> IntArray:
        """Choose by real differences among the codes whose score is within `reach`."""
        row, code = np.nonzero(~(scores > reach[:, None]))
        value = np.empty(len(row))
        # many copies of one code make every pair a near tie: bound the memory
        for start in range(0, len(row), BLOCK_PAIRS):
            pairs = slice(start, start + BLOCK_PAIRS)
            value[pairs] = self.exact(X[row[pairs]], code[pairs])
        starts = np.searchsorted(row, np.arange(len(X)))
        lowest = np.minimum.reduceat(value, starts)
        hit = np.flatnonzero(value == lowest[row])
        # candidates are sorted by row, then code: the first hit has the lowest index
        _, first = np.unique(row[hit], return_index=True)
        return code[hit[first]]


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
