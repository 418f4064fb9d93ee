"""Distinct rows with weights, and chunks of them that wait for more."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._weights import distinct_rows


class Rows(NamedTuple):
    """Distinct rows, their weights, and possibly what is known of each."""

    X: NDArray[Any]
    weight: NDArray[np.float64]
    target: NDArray[np.int64] | None = None

    def normalised(self) -> Rows:
        """Return the rows with weights of mean 1."""
        return self._replace(weight=self.weight / self.weight.mean())

    def take(self, which: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        target = None if self.target is None else self.target[which]
        return Rows(self.X[which], self.weight[which], target)


def gather(
    waiting: dict[str, NDArray[Any]] | None,
    X: NDArray[Any],
    weight: NDArray[np.float64],
    target: NDArray[np.int64] | None = None,
) -> Rows:
    """Return the distinct rows among those that wait and those of `X`.

    Repeats become weights: to learn from a row twice is to weigh it double. Rows with
    other targets are other rows.
    """
    if waiting is not None:
        X = np.vstack([waiting["X"], X])
        weight = np.r_[waiting["weight"], weight]
    keys = X if target is None else np.c_[X.astype(np.float64, copy=False), target]
    rows, total = distinct_rows(keys, weight)
    return Rows(X[rows], total, None if target is None else target[rows])
