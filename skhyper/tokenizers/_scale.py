"""The offset and the scale that make training blind to those of the data."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._warn import warn_user

FloatArray = NDArray[np.float64]

# rows held out whose mean square is this much larger or smaller than the training
# rows' have most likely missed a step that the training rows went through
FOREIGN = 10.0


class Scale(NamedTuple):
    """Mean of the rows, and root of the mean variance of a feature."""

    offset: FloatArray
    scale: float

    @classmethod
    def of(cls, X: NDArray[Any], weight: FloatArray) -> Self:
        """Return the scale of weighted rows."""
        X = X.astype(np.float64, copy=False)
        share = weight / weight.sum()
        offset = share @ X
        variance = float(np.mean(share @ (X - offset) ** 2))
        # rows that differ by rounding alone have no scale of their own
        noise = (1e-7 * float(np.max(np.abs(X), initial=0.0))) ** 2
        return cls(offset, variance**0.5 if variance > noise else 1.0)

    def apply(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return rows with mean 0 and variance 1, in the dtype of `X`."""
        return ((X - self.offset) / self.scale).astype(X.dtype, copy=False)

    def undo(self, scaled: NDArray[Any]) -> FloatArray:
        """Return the rows that `apply` gave."""
        return scaled.astype(np.float64) * self.scale + self.offset

    def warn_if_foreign(self, X_val: NDArray[Any]) -> None:
        """Warn if validation rows do not look like the rows of this scale."""
        square = float(np.mean(self.apply(X_val).astype(np.float64) ** 2))
        # a few rows may well lie near the mean
        small = len(X_val) >= 10 and 0 < square < 1 / FOREIGN
        if small or square > FOREIGN:
            warn_user(
                f"X_val has {square:.3g} times the mean square of X about the mean of "
                "X: it seems to be on another scale. Inside a Pipeline, say "
                "Pipeline(..., transform_input=['X_val']), so that X_val goes through "
                "the same steps as X."
            )
