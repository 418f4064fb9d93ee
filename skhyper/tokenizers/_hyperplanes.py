"""Codes that are the classes of a hyperbolic regression: what HyperVQ is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._blocks import for_each_block
from skhyper._utils._grid import grid_shape
from skhyper._utils._params import Interval, StrOptions
from skhyper.manifolds import PoincareBall
from skhyper.manifolds._hyperplanes import hyperplane_logits
from skhyper.manifolds._ops import direction
from skhyper.quantizers._online import pad_codes
from skhyper.quantizers._stack import ResidualStack
from skhyper.tokenizers._training import TrainedCoder

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A product of matrices may round a row differently in a block of another shape, so that
# every block of points has this many, filled up with zeros.
BLOCK_ROWS = 256


class HyperplaneStack(ResidualStack):
    """Levels of hyperplanes: each takes the code of the largest logit.

    Parameters
    ----------
    manifold : PoincareBall
        Where points and codes live.
    codebooks : sequence of float64 arrays (n_codes, n_features)
        The representatives of the hyperplanes of each level.
    gains : sequence of float64 arrays (n_codes,)
        The factors of their logits.
    """

    def __init__(
        self,
        manifold: Any,
        codebooks: Sequence[FloatArray],
        gains: Sequence[FloatArray],
    ) -> None:
        super().__init__(manifold, codebooks)
        tangents = [np.asarray(manifold.logmap0(codes)) for codes in codebooks]
        self._planes = [
            (direction(np, tangent), np.linalg.norm(tangent, axis=1), gain)
            for tangent, gain in zip(tangents, gains, strict=True)
        ]

    def encode(
        self,
        X: NDArray[Any],
        beam_size: int = 1,
        to_points: Callable[[NDArray[Any]], FloatArray] = np.asarray,
    ) -> IntArray:
        """Return the codes (n_samples, n_levels) of ``to_points(X)``, row by row."""
        codes = np.empty((len(X), len(self.codebooks)), dtype=np.int64)

        def work(rows: slice) -> None:
            Z = np.asarray(to_points(X[rows]), dtype=np.float64)
            block = np.zeros((BLOCK_ROWS, Z.shape[1]))
            block[: len(Z)] = Z
            codes[rows] = self._greedy(block)[: len(Z)]

        for_each_block(work, len(X), BLOCK_ROWS)
        return codes

    def _greedy(self, Z: FloatArray) -> IntArray:
        columns, rest = [], Z
        for level, planes in enumerate(self._planes):
            logits = hyperplane_logits(self.manifold, rest, *planes)
            columns.append(np.argmax(logits, axis=1))
            if level + 1 < len(self._planes):
                rest = self.subtract(rest, level, columns[-1])
        return np.stack(columns, axis=1)


class HyperplaneCoder(TrainedCoder):
    """Train an autoencoder whose codes are drawn by the logits of hyperplanes."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TrainedCoder._parameter_constraints,
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "temperature": ["array-like", Interval(Real, 0, None, closed="neither")],
        "gradient": [StrOptions({"auto", "exact", "reinmax", "gumbel"})],
        "curvature": [Interval(Real, 0, np.inf, closed="neither")],
    }

    entropy_weight: float
    temperature: float | Sequence[float]
    gradient: str
    curvature: float
    curvature_: float
    gains_: list[FloatArray]

    _remedy = "Lower codebook_size, raise max_iter, or raise entropy_weight"

    # the hyperplane halfway to a centroid tells it from the origin
    _share = 0.5

    def _check_parameters(self) -> list[int]:
        sizes = super()._check_parameters()
        self._temperatures()
        return sizes

    def _check_input_shape(self) -> None:
        super()._check_input_shape()
        self._resolved_gradient()

    def _resolved_gradient(self) -> str:
        """Return how the gradient passes the draw of codes."""
        one = self.n_levels == 1 and math.prod(grid_shape(self.input_shape)) == 1
        if self.gradient == "auto":
            return "exact" if one else "reinmax"
        if self.gradient == "exact" and not one:
            raise ValueError(
                "gradient='exact' takes the mean over all codes of a row, which are "
                f"too many for n_levels={self.n_levels} and input_shape="
                f"{self.input_shape}; use gradient='auto' or 'reinmax'."
            )
        return self.gradient

    def _temperatures(self) -> tuple[float, float]:
        """Return the temperatures at the start and at the end of training."""
        given: Any = self.temperature
        both: list[Any] = [given] * 2 if isinstance(given, Real) else list(given)
        if len(both) != 2 or not all(
            isinstance(t, Real) and 0 < float(t) < math.inf for t in both
        ):
            raise ValueError(
                f"temperature={given!r} must be a finite number above 0, or two, for "
                "the start and the end of training: at 0 no gradient is left."
            )
        return float(both[0]), float(both[1])

    def _bottleneck(self, manifold: Any) -> Any:
        from skhyper._nn._hyperplanes import Hyperplanes

        return Hyperplanes(
            manifold,
            gradient=self._resolved_gradient(),
            temperatures=self._temperatures(),
            entropy_weight=self.entropy_weight,
        )

    def _new_manifold(self) -> PoincareBall:
        return PoincareBall(self.curvature)

    def _manifold(self) -> PoincareBall:
        return PoincareBall(self.curvature_)

    def _stack(self) -> HyperplaneStack:
        return HyperplaneStack(self._manifold(), self.codebooks_, self.gains_)

    def _learnt(self, model: Any, *moment: Any) -> dict[str, Any]:
        own = {"curvature_": model.manifold.c, "gains_": model.codebooks.gains()}
        return {**super()._learnt(model, *moment), **own}

    def _restore(self, model: Any, sizes: list[int]) -> None:
        super()._restore(model, sizes)
        pairs = zip(self.gains_, sizes, strict=True)
        padded = [pad_codes(gains[:, None], size)[:, 0] for gains, size in pairs]
        model.codebooks.set_gains(padded)
