"""Distinct rows with weights, and chunks of them that wait for more."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._weights import distinct_rows


class Rows(NamedTuple):
    """Distinct rows, and their weights."""

    X: NDArray[Any]
    weight: NDArray[np.float64]

    def normalised(self) -> Rows:
        """Return the rows with weights of mean 1."""
        return Rows(self.X, self.weight / self.weight.mean())

    def take(self, which: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(self.X[which], self.weight[which])


def gather(
    waiting: dict[str, NDArray[Any]] | None,
    X: NDArray[Any],
    weight: NDArray[np.float64],
) -> Rows:
    """Return the distinct rows among those that wait and those of `X`.

    Repeats become weights: to learn from a row twice is to weigh it double.
    """
    if waiting is not None:
        X = np.vstack([waiting["X"], X])
        weight = np.r_[waiting["weight"], weight]
    rows, total = distinct_rows(X, weight)
    return Rows(X[rows], total)
