"""What the tokenizers share whose codes are the nearest ones, in one level or more."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from skhyper._utils._codes import check_beam_size
from skhyper._utils._params import Interval, StrOptions
from skhyper.tokenizers._base import BaseTokenizer


class NearestTokenizer(BaseTokenizer):
    """Tokenizer with codebook losses or sums, and a commitment loss."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseTokenizer._parameter_constraints,
        "commitment_weight": [Interval(Real, 0, None, closed="left")],
        "codebook_update": [StrOptions({"gradient", "ema"})],
    }

    commitment_weight: float
    codebook_update: str
    gradient: str = "tangent"
    assignment: str = "nearest"

    _remedy = "Lower codebook_size, raise max_iter, or lower commitment_weight"

    def _bottleneck(self, manifold: Any) -> Any:
        from skhyper._nn._nearest import NearestCodes

        return NearestCodes(
            manifold,
            residual=self.residual,
            gradient=self.gradient,
            codebook_update=self.codebook_update,
            assignment=self.assignment,
            beam_size=self.beam_size,
            commitment_weight=self.commitment_weight,
        )


class ResidualTokenizer(NearestTokenizer):
    """Tokenizer with levels: each takes the code nearest to what is left."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NearestTokenizer._parameter_constraints,
        "n_levels": [Interval(Integral, 1, None, closed="left")],
        "codebook_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "assignment": [StrOptions({"nearest", "balanced"})],
        "beam_size": [Interval(Integral, 1, None, closed="left")],
    }

    _remedy = (
        "Lower codebook_size, raise max_iter, lower commitment_weight, or set "
        "assignment='balanced'"
    )

    def _check_parameters(self) -> list[int]:
        sizes = super()._check_parameters()
        check_beam_size(self.beam_size, sizes)
        return sizes
