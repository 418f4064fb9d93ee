"""Scorers of encoders for scikit-learn's model selection: higher is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skhyper.metrics._agreement import check_score, prefix_agreement
from skhyper.metrics._codes import check_codes, collision_rate, prefix_ids
from skhyper.metrics._distortion import relative_distortion

Scorer = Callable[..., float]


def make_bit_budget_scorer(bits: float) -> Scorer:
    """Make a scorer of the reconstruction error at a given number of bits a row.

    `score` always favours the larger codebook. This scorer compares at equal length:
    it decodes the first tokens of each code, as many as fit into `bits`, and takes
    the error of that reconstruction. A longer code is cut; a shorter one is taken as
    it is, and may lose for that.

    Parameters
    ----------
    bits : float
        The most bits of a row, above 0. A token of a codebook of K codes, as fitted,
        takes ``log2(K)``. Infinity sets no limit.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None, sample_weight=None)``, which returns minus the
        `relative_distortion` of the rows scored: 0 is the best, and -1 what the mean
        of these rows would get. `y` is ignored. It raises a ValueError if the first
        level does not fit into `bits`.

    Raises
    ------
    ValueError
        If `bits` is not a number above 0.

    See Also
    --------
    relative_distortion : The error.

    Notes
    -----
    The error is one of the features as vectors, in the units that go into a Pipeline.
    Score points of the ball (``input_geometry="ball"``) by `score`, which follows
    geodesics. In a search a candidate whose first level does not fit gets the
    `error_score` of the search, by default NaN and the last rank, and a warning.

    Examples
    --------
    Codes of 12 bits, as six tokens of 2 bits, three of 4, or two of 6:

    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from skhyper import ResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.metrics import make_bit_budget_scorer
    >>> search = GridSearchCV(
    ...     ResidualQuantizer(n_levels=6, n_init=1, random_state=0),
    ...     {"codebook_size": [4, 16, 64]},
    ...     scoring=make_bit_budget_scorer(12),
    ...     cv=KFold(3, shuffle=True, random_state=0),
    ... )
    >>> search.fit(load_naics().data).best_params_
    {'codebook_size': 64}
    """
    if not isinstance(bits, Real) or not bits > 0:
        raise ValueError(f"bits={bits!r} must be a number above 0.")
    return BitBudgetScorer(float(bits))


def make_prefix_agreement_scorer(depth: int = 1, score: str = "ami") -> Scorer:
    """Make a scorer of how well prefixes of the codes agree with the classes `y`.

    The rows that share their first `depth` tokens are one cluster; a clustering score
    compares these clusters with `y`, which `fit` does not look at.

    Parameters
    ----------
    depth : int, default=1
        Number of leading tokens.
    score : {"ami", "ari", "nmi"}, default="ami"
        As in `prefix_agreement`. A search should be corrected for chance, since "nmi"
        favours many clusters.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, which returns the agreement. It raises a
        ValueError if there is no `y`, or `depth` is above the number of levels.

    Raises
    ------
    ValueError
        If `depth` is not an integer of at least 1, or `score` is unknown.

    See Also
    --------
    prefix_agreement : The same for codes, at every depth.

    Examples
    --------
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from skhyper import HyperbolicResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.metrics import make_prefix_agreement_scorer
    >>> naics = load_naics()
    >>> scores = cross_val_score(
    ...     HyperbolicResidualQuantizer(1, 8, random_state=0),
    ...     naics.data,
    ...     naics.target[:, 0],
    ...     scoring=make_prefix_agreement_scorer(),
    ...     cv=KFold(3, shuffle=True, random_state=0),
    ... )
    >>> round(float(scores.mean()), 1)
    0.5
    """
    check_score(score)
    return PrefixAgreementScorer(check_depth(depth), score)


def make_collision_scorer(depth: int | None = None) -> Scorer:
    """Make a scorer of how few rows share their code.

    Parameters
    ----------
    depth : int, default=None
        Number of leading tokens; None takes the whole code.

    Returns
    -------
    callable
        ``scorer(estimator, X, y=None)``, which returns minus the `collision_rate` of
        the rows scored: 0 if all codes differ. `y` is ignored. It raises a ValueError
        if `depth` is above the number of levels.

    Raises
    ------
    ValueError
        If `depth` is neither None nor an integer of at least 1.

    See Also
    --------
    collision_rate : The same for codes, at every depth.

    Notes
    -----
    The rate rises with the number of rows: that of a fold is below that of the whole
    data, and ranks candidates only. It favours the larger codebook.

    Examples
    --------
    >>> from sklearn.model_selection import KFold, cross_val_score
    >>> from skhyper import ResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.metrics import make_collision_scorer
    >>> quantizer = ResidualQuantizer(2, 8, random_state=0)
    >>> scorer = make_collision_scorer()
    >>> cv = KFold(3, shuffle=True, random_state=0)
    >>> scores = cross_val_score(quantizer, load_naics().data, scoring=scorer, cv=cv)
    >>> scores.round(1)
    array([-0.8, -0.8, -0.8])
    """
    return CollisionScorer(None if depth is None else check_depth(depth))


class WeightAware:
    """What GridSearchCV asks of the scorers in a dict if `fit` is given weights."""

    def _accept_sample_weight(self) -> bool:
        return "sample_weight" in signature(type(self).__call__).parameters


@dataclass(frozen=True)
class BitBudgetScorer(WeightAware):
    """Made by `make_bit_budget_scorer`."""

    bits: float

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None
    ) -> float:
        """Return minus the relative error of the prefix that fits."""
        codes = encode(estimator, X)
        if not hasattr(estimator, "inverse_transform"):
            raise TypeError(
                "The scorer needs inverse_transform, which this estimator does not "
                f"have; in a Pipeline every step must have it. Got {estimator!r}."
            )
        prefix = codes[:, : self._n_levels(estimator)]
        X_hat = estimator.inverse_transform(prefix)
        return -relative_distortion(X, X_hat, sample_weight)

    def _n_levels(self, estimator: Any) -> int:
        sizes = [len(codebook) for codebook in find_coder(estimator).codebooks_]
        needed = np.cumsum(np.log2(sizes))
        # Logarithms round: three levels of 48 codes fit 3 * log2(48) bits.
        n_levels = int(np.count_nonzero(needed <= self.bits * (1 + 1e-12)))
        if n_levels == 0:
            raise ValueError(
                f"bits={self.bits:g} has no room for the first level, whose {sizes[0]} "
                f"codes take {needed[0]:.4g} bits. Give more bits, or a smaller first "
                "codebook_size."
            )
        return n_levels


@dataclass(frozen=True)
class PrefixAgreementScorer(WeightAware):
    """Made by `make_prefix_agreement_scorer`."""

    depth: int
    score: str

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return the agreement of the prefixes with `y`."""
        if y is None:
            raise ValueError(
                "y=None: agreement needs classes. Give them as y to fit of the search "
                "or to cross_validate; the encoder does not look at them."
            )
        if np.ndim(y) != 1:
            raise ValueError(
                f"y must have shape (n_samples,), got {np.shape(y)}. Give one column "
                "of labels, such as one level of a taxonomy."
            )
        prefixes = prefix_ids(encode(estimator, X, self.depth))
        return float(prefix_agreement(prefixes[:, -1:], y, self.score)[0])


@dataclass(frozen=True)
class CollisionScorer(WeightAware):
    """Made by `make_collision_scorer`."""

    depth: int | None

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return minus the collision rate."""
        return -float(collision_rate(encode(estimator, X, self.depth))[-1])


def encode(estimator: Any, X: Any, depth: int | None = None) -> NDArray[np.int64]:
    """Return the first `depth` tokens of every row, or all of them."""
    n_levels = len(find_coder(estimator).codebooks_)
    if depth is not None and depth > n_levels:
        raise ValueError(
            f"depth={depth} is above the number of levels, {n_levels}. Make the scorer "
            "with a smaller depth, or leave shorter codes out of the search."
        )
    return check_codes(estimator.transform(X))[:, :depth]


def find_coder(estimator: Any) -> Any:
    """Return what has the codebooks: `estimator`, its last step or its best."""
    check_is_fitted(estimator)
    if isinstance(estimator, Pipeline):
        return find_coder(estimator[-1])
    if hasattr(estimator, "best_estimator_"):
        return find_coder(estimator.best_estimator_)
    if not hasattr(estimator, "codebooks_"):
        raise TypeError(
            "The scorer takes estimators with a list of codebooks_, such as "
            "ResidualQuantizer and HRQVAETokenizer, or a Pipeline that ends in one; "
            f"got {estimator!r}."
        )
    return estimator


def check_depth(depth: Any) -> int:
    """Return `depth` as an int, or raise a ValueError."""
    if not isinstance(depth, Integral) or depth < 1:
        raise ValueError(f"depth={depth!r} must be an integer of at least 1.")
    return int(depth)
