"""The residual stack: a point becomes one token a level, and tokens a point again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._blocks import for_each_block
from skhyper.manifolds._nearest import BLOCK_ROWS, CodeScores
from skhyper.manifolds._ops import sqnorm
from skhyper.manifolds._residual import RESIDUAL_RULES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# the most numbers in one array of a block: 2 MB
BLOCK_NUMBERS = 2**18


class ResidualStack:
    """Codebooks on one manifold, coarsest first.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where points and codes live.
    codebooks : sequence of float64 arrays (n_codes, n_features)
        The codes of each level.
    residual : {"exact", "paper", "tangent"}, default="exact"
        The rule of `skhyper.manifolds._residual`.
    """

    def __init__(
        self, manifold: Any, codebooks: Sequence[FloatArray], residual: str = "exact"
    ) -> None:
        self.manifold = manifold
        self.residual = residual
        self.rule = RESIDUAL_RULES[residual]
        self.codebooks = list(codebooks)
        self._scores = [
            CodeScores(codes, manifold.gap(codes)[:, 0]) for codes in self.codebooks
        ]
        self._opposite = [-codes for codes in self.codebooks]

    def with_codebooks(self, codebooks: Sequence[FloatArray]) -> ResidualStack:
        """Return a stack of the same kind over other codebooks."""
        return ResidualStack(self.manifold, codebooks, self.residual)

    def encode(
        self,
        X: NDArray[Any],
        beam_size: int = 1,
        to_points: Callable[[NDArray[Any]], FloatArray] = np.asarray,
    ) -> IntArray:
        """Return the codes (n_samples, n_levels) of ``to_points(X)``, row by row.

        ``beam_size=1`` takes the nearest code at every level. A wider beam keeps the
        `beam_size` best prefixes and returns the better of its winner and the greedy
        path by the error of the whole code, so that it is never worse.
        """
        codes = np.empty((len(X), len(self.codebooks)), dtype=np.int64)

        def work(block: slice) -> None:
            Z = np.asarray(to_points(X[block]), dtype=np.float64)
            found = self._greedy(Z)
            if beam_size > 1:
                found = self._better(Z, found, self._beam(Z, beam_size))
            codes[block] = found

        for_each_block(work, len(X), self._block_rows(beam_size))
        return codes

    def decode(self, codes: IntArray) -> FloatArray:
        """Return the points of codes, or of their first m columns."""
        chosen = [
            codebook[column]
            for codebook, column in zip(self.codebooks, codes.T, strict=False)
        ]
        return np.asarray(self.rule.fold(self.manifold, chosen))

    def subtract(
        self, residual: FloatArray, level: int, column: IntArray
    ) -> FloatArray:
        """Return what is left of `residual` without the code `column` of a level."""
        code = self.codebooks[level][column]
        return np.asarray(self.rule.subtract(self.manifold, residual, code))

    def _greedy(self, Z: FloatArray) -> IntArray:
        codes = np.empty((len(Z), len(self.codebooks)), dtype=np.int64)
        rest, square, room = Z, sqnorm(np, Z), np.empty_like(Z)
        for level, scores in enumerate(self._scores):
            codes[:, level] = column = scores.nearest(rest, square[:, 0])
            if level + 1 < len(self.codebooks):
                rest, square = self._step(rest, square, level, column, room)
        return codes

    def _step(
        self,
        rest: FloatArray,
        square: FloatArray,
        level: int,
        column: IntArray,
        room: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return what `subtract` does, and its squared lengths, given those of `rest`.

        Overwrites `room`, and `rest` too, but on the first level: there it is the
        caller's.
        """
        if self.residual != "exact":
            rest = self.subtract(rest, level, column)
            return rest, sqnorm(np, rest)
        opposite = self._opposite[level].take(column, axis=0, out=room, mode="clip")
        gap = self._scores[level].gap.take(column)[:, None]
        out = rest if level > 0 else None
        following: tuple[FloatArray, FloatArray] = self.manifold._add_known(
            opposite, rest, gap, square, out
        )
        return following

    def _block_rows(self, beam_size: int) -> int:
        """Return how many rows to encode at once, so that no array grows large."""
        n_codes = max(len(codes) for codes in self.codebooks)
        widest = max(self.codebooks[0].shape[1], n_codes if beam_size > 1 else 1)
        prefixes = min(BLOCK_ROWS, BLOCK_NUMBERS // widest)
        return max(1, prefixes // beam_size)

    def _better(self, Z: FloatArray, one: IntArray, other: IntArray) -> IntArray:
        error_one = self.manifold.sq_chord(self.decode(one), Z)
        error_other = self.manifold.sq_chord(self.decode(other), Z)
        return np.where((error_other < error_one)[:, None], other, one)

    def _beam(self, Z: FloatArray, beam_size: int) -> IntArray:
        n = len(Z)
        # one row per live prefix, grouped by sample
        owner, residual = np.arange(n), Z
        prefixes = np.empty((n, 0), dtype=np.int64)
        for level, scores in enumerate(self._scores):
            row, code, cost = scores.candidates(residual, beam_size)
            cost = cost / self.manifold.gap(residual)[row, 0]
            keep = _best_per_group(owner[row], cost, beam_size)
            row, code = row[keep], code[keep]
            owner = owner[row]
            prefixes = np.column_stack([prefixes[row], code])
            residual = self.subtract(residual[row], level, code)
        error = self.manifold.sq_chord(self.decode(prefixes), Z[owner])
        return prefixes[_best_per_group(owner, error, 1)]


def _best_per_group(group: IntArray, cost: FloatArray, size: int) -> IntArray:
    """Return the indices of the `size` lowest costs of each group, group by group.

    Ties go to the entry that comes first.
    """
    order = np.lexsort((np.arange(len(cost)), cost, group))
    sorted_group = group[order]
    starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[rank < size]
