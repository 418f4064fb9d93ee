"""All figures of a set of codes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state

from skhyper.metrics._agreement import check_score, prefix_agreement
from skhyper.metrics._codes import (
    check_codes,
    check_sizes,
    codebook_usage,
    collision_rate,
    dead_codes,
    perplexity,
    prefix_ids,
)
from skhyper.metrics._neighbors import neighbor_hits
from skhyper.metrics._recommendation import check_confidence_level
from skhyper.metrics._report_views import CodeReport
from skhyper.metrics._scorers import find_coder

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# a figure's name, the number of rows that it is of, and it, of some of them
Figure = tuple[str, int, Callable[[IntArray], FloatArray]]


def code_report(
    codes: ArrayLike,
    *,
    X: Any = None,
    y: Any = None,
    tokenizer: Any = None,
    codebook_size: int | Sequence[int] | None = None,
    score: str = "ami",
    n_neighbors: int = 10,
    n_queries: int = 1000,
    n_resamples: int = 100,
    confidence_level: float = 0.95,
    random_state: int | RandomState | None = None,
) -> CodeReport:
    r"""Say what the codes of a data set are worth, whoever made them.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels)
        Integer tokens >= 0, column 0 the coarsest.
    X : array-like of shape (n_samples, n_features), default=None
        The rows that the codes are of, which show whether neighbours have codes with a
        long prefix in common.
    y : array-like of shape (n_samples,) or (n_samples, n_label_levels), default=None
        Classes, which show whether rows with a prefix in common are of a kind. A data
        frame names its columns.
    tokenizer : quantizer or tokenizer, or a Pipeline that ends in one, default=None
        What has made the codes, fitted: it has the sizes of the codebooks, and, with
        `X`, shows the errors of what is decoded. Columns of `codes` beyond its levels,
        such as a counter, have no error.
    codebook_size : int or sequence of n_levels ints, default=None
        Number of codes at each level; an int holds for all levels. None takes the
        sizes of the tokenizer, or else one more than the largest token of each
        level, which is the least that it can be.
    score : {"ami", "ari", "nmi"}, default="ami"
        The agreement with `y`, as in `prefix_agreement`.
    n_neighbors : int, default=10
        How many neighbours a row has.
    n_queries : int, default=1000
        The number of rows whose neighbours are looked for, drawn without repetition;
        all where there are no more.
    n_resamples : int, default=100
        How many halves of the rows are drawn for the intervals; 0 leaves them out.
    confidence_level : float, default=0.95
        Of the intervals, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Draws the queries and the halves. Pass an int for the same output at every
        call. See :term:`Glossary <random_state>`.

    Returns
    -------
    CodeReport
        The figures and a verdict. It shows itself as text, in a notebook, as a data
        frame and as plots.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of integers >= 0 or does not fit the codebooks, `X`
        and `y` do not fit `codes`, or a parameter is out of range.
    TypeError
        If `tokenizer` has no codebooks, or cannot decode.

    See Also
    --------
    CodeReport : What each figure is.
    skhyper.plotting.CodebookUsageDisplay : The use of the codebooks alone.

    Notes
    -----
    The intervals are of another sample of rows like these. They come from random halves
    of the rows, drawn without repetition: the spread of a mean, or of another smooth
    figure, over halves is about that over data sets of the full size [1]_. The
    bootstrap itself would repeat rows, which then collide and agree, so that it shifts
    most of these figures. Usage, dead codes and collisions are counts of this very
    set and depend on its size: they have no interval. That of the neighbours is over
    the queries, the set in which they have their neighbours being the same.

    References
    ----------
    .. [1] J. Shao, C. F. J. Wu, "A General Theory for Jackknife Variance Estimation",
       Annals of Statistics 17(3), 1989.

    Examples
    --------
    >>> from skhyper import ResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.metrics import code_report
    >>> naics = load_naics()
    >>> quantizer = ResidualQuantizer(2, [16, 64], n_init=1, random_state=0)
    >>> codes = quantizer.fit_transform(naics.data)
    >>> report = code_report(
    ...     codes, X=naics.data, y=naics.target[:, 0], tokenizer=quantizer,
    ...     n_resamples=20, random_state=0,
    ... )
    >>> report.usage
    array([1., 1.])
    >>> bool(report.neighbor_recall[1] > 20 * report.chance)
    True
    >>> report.to_frame().columns[:4].tolist()
    ['codebook_size', 'used', 'usage', 'perplexity']

    Codes that have collapsed:

    >>> print(*code_report(codes // 3, codebook_size=[16, 64]).verdict, sep="\n")
    Level 0 uses 6 of 16 codes.
    Level 1 uses 22 of 64 codes.
    88.2 % of the rows collide; one code has 31 rows.
    """
    check_score(score)
    check_confidence_level(confidence_level)
    _check_counts(n_neighbors, n_queries, n_resamples)
    tokens = check_codes(codes)
    sizes, n_known = _sizes(tokens, codebook_size, tokenizer)
    rows = None if X is None else _check_rows(X, tokens, tokenizer, n_neighbors)
    names = _label_names(y)
    random = check_random_state(random_state)

    figures: list[Figure] = [*_of_levels(tokens, sizes)]
    if y is not None:
        figures.append(_of_labels(tokens, y, score))
    if rows is not None:
        figures.append(_of_neighbors(rows, tokens, n_neighbors, n_queries, random))
    if rows is not None and tokenizer is not None:
        figures += _of_errors(X, rows, tokens, tokenizer)
    values = {name: figure(np.arange(n_rows)) for name, n_rows, figure in figures}
    intervals = {
        name: _interval(
            values[name], figure, n_rows, n_resamples, confidence_level, random
        )
        for name, n_rows, figure in figures
        if n_resamples > 0 and n_rows > 1
    }
    ids = prefix_ids(tokens)
    has_counter = _has_counter(tokens, ids)
    return CodeReport(
        n_samples=len(tokens),
        codebook_size=tuple(sizes),
        sizes_known=n_known >= len(sizes) - has_counter,
        counts=_counts(tokens, sizes),
        usage=codebook_usage(tokens, sizes),
        dead_codes=dead_codes(tokens, sizes),
        collision_rate=collision_rate(tokens),
        largest_group=np.array([np.bincount(column).max() for column in ids.T]),
        has_counter=has_counter,
        score=score,
        label_names=names,
        n_neighbors=None if rows is None else int(n_neighbors),
        intervals=intervals,
        confidence_level=float(confidence_level),
        **values,
    )


def _check_counts(n_neighbors: Any, n_queries: Any, n_resamples: Any) -> None:
    for name, value in (("n_neighbors", n_neighbors), ("n_queries", n_queries)):
        if not isinstance(value, Integral) or int(value) < 1:
            raise ValueError(f"{name}={value!r} must be an integer of at least 1.")
    if not isinstance(n_resamples, Integral) or n_resamples < 0 or n_resamples == 1:
        raise ValueError(f"n_resamples={n_resamples!r} must be 0, or 2 or more.")


def _sizes(
    tokens: IntArray, codebook_size: int | Sequence[int] | None, tokenizer: Any
) -> tuple[list[int], int]:
    """Return the sizes of the codebooks, and how many of them are known."""
    if codebook_size is not None:
        return check_sizes(tokens, codebook_size), tokens.shape[1]
    sizes = [int(token) + 1 for token in tokens.max(axis=0)]
    if tokenizer is None:
        return sizes, 0
    fitted = [len(codebook) for codebook in find_coder(tokenizer).codebooks_]
    sizes[: len(fitted)] = fitted[: len(sizes)]
    return check_sizes(tokens, sizes), len(fitted)


def _check_rows(
    X: Any, tokens: IntArray, tokenizer: Any, n_neighbors: int
) -> FloatArray:
    """Return `X` as a matrix of float64, a row for each code."""
    rows = np.asarray(check_array(X, dtype=np.float64, input_name="X"))
    if len(rows) != len(tokens):
        raise ValueError(
            f"X has {len(rows)} rows, codes has {len(tokens)}. Give the rows that the "
            "codes are of."
        )
    if n_neighbors >= len(rows):
        raise ValueError(
            f"n_neighbors={n_neighbors} must be below the number of rows, {len(rows)}."
        )
    return rows


def _label_names(y: Any) -> tuple[str, ...]:
    """Return a name for each column of `y`."""
    if y is None:
        return ()
    if hasattr(y, "columns"):
        return _distinct(str(name) for name in y.columns)
    if np.ndim(y) == 2:
        return tuple(f"y{column}" for column in range(np.shape(y)[1]))
    name = getattr(y, "name", None)
    return (str(name) if name else "y",)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    given = tuple(names)
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"y has more than one column {name!r}; rename them.")
    return given


def _counts(tokens: IntArray, sizes: Sequence[int]) -> list[IntArray]:
    return [
        np.bincount(column, minlength=size)
        for column, size in zip(tokens.T, sizes, strict=True)
    ]


def _gini(count: IntArray) -> float:
    """Return the Gini coefficient of one level's counts, unused codes included."""
    place = np.arange(1, len(count) + 1)
    share = np.sort(count) / count.sum()
    return float((2 * place - len(count) - 1) @ share / len(count))


def _of_levels(tokens: IntArray, sizes: Sequence[int]) -> Iterator[Figure]:
    yield "perplexity", len(tokens), lambda rows: perplexity(tokens[rows])

    def gini(rows: IntArray) -> FloatArray:
        return np.array([_gini(count) for count in _counts(tokens[rows], sizes)])

    yield "gini", len(tokens), gini


def _has_counter(tokens: IntArray, ids: IntArray) -> bool:
    """Tell whether the last token only counts the rows that share all others.

    Then the rows of a group have 0, 1, 2, ..., and most are alone in theirs.
    """
    if tokens.shape[1] == 1 or np.mean(tokens[:, -1] == 0) <= 0.5:
        return False
    order = np.lexsort([tokens[:, -1], ids[:, -2]])
    size = np.bincount(ids[:, -2])
    start = np.repeat(np.cumsum(size) - size, size)
    return bool(np.array_equal(tokens[order, -1], np.arange(len(tokens)) - start))


def _of_neighbors(
    X: FloatArray, tokens: IntArray, n_neighbors: int, n_queries: int, random: Any
) -> Figure:
    queries = np.arange(len(X))
    if n_queries < len(X):
        queries = np.sort(random.choice(len(X), n_queries, replace=False))
    hits = neighbor_hits(X, tokens, queries, n_neighbors)
    return "neighbor_recall", len(queries), lambda rows: hits[rows].mean(axis=0)


def _of_labels(tokens: IntArray, y: Any, score: str) -> Figure:
    labels = np.asarray(y)

    def agreement(rows: IntArray) -> FloatArray:
        table = prefix_agreement(tokens[rows], labels[rows], score)
        return table.reshape(len(table), -1)

    prefix_agreement(tokens[:, :1], labels, score)  # says what is wrong with y
    return "agreement", len(tokens), agreement


def _of_errors(
    X: Any, rows: FloatArray, tokens: IntArray, tokenizer: Any
) -> Iterator[Figure]:
    """Yield the errors in the input space, and those of the latents."""
    levels = tokens[:, : len(find_coder(tokenizer).codebooks_)]
    unknown = np.full(tokens.shape[1] - levels.shape[1], np.nan)

    error = _sq_errors(rows, levels, tokenizer)
    spread = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    yield (
        "relative_distortion",
        len(rows),
        lambda some: np.r_[
            _ratio(error[some].sum(axis=0), spread[some].sum()), unknown
        ],
    )

    residual = _sq_residuals(X, levels, tokenizer)

    def shrinkage(some: IntArray) -> FloatArray:
        total = residual[some].sum(axis=0)
        return np.r_[np.sqrt(_ratio(total[1:], total[:-1])), unknown]

    yield "residual_ratio", len(rows), shrinkage


def _ratio(one: Any, other: Any) -> FloatArray:
    """Return the ratio, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(other) > 0, one / other, np.nan)


def _sq_errors(X: FloatArray, levels: IntArray, tokenizer: Any) -> FloatArray:
    """Return the squared error of each row, by the number of tokens."""
    if getattr(find_coder(tokenizer), "_n_positions", 1) > 1:
        raise ValueError(
            "tokenizer has codes at several positions of a row, which are no prefixes. "
            "Give codes and X, or codes and codebook_size, without it."
        )
    if not hasattr(tokenizer, "inverse_transform"):
        raise TypeError(
            "tokenizer must have inverse_transform; in a Pipeline every step must have "
            f"it. Got {tokenizer!r}."
        )
    columns = []
    for depth in range(1, levels.shape[1] + 1):
        decoded = np.asarray(tokenizer.inverse_transform(levels[:, :depth]))
        if decoded.shape != X.shape:
            raise ValueError(
                f"X has shape {X.shape}, but tokenizer decodes codes to "
                f"{decoded.shape}. Give the rows that it has encoded."
            )
        columns.append(((X - decoded) ** 2).sum(axis=1))
    return np.column_stack(columns)


def _sq_residuals(X: Any, levels: IntArray, tokenizer: Any) -> FloatArray:
    """Return the squared distance of latents from their codes' first 0, 1, ... tokens.

    The point of no tokens is the origin.
    """
    coder, X = find_coder(tokenizer), _before_coder(tokenizer, X)
    points = coder._points(check_array(X, dtype=[np.float64, np.float32], order="C"))
    decoded = [
        coder._prefix_points(levels[:, :depth])
        for depth in range(1, levels.shape[1] + 1)
    ]
    space = coder._manifold()
    return np.column_stack(
        [space.sq_half_dist(points, to) for to in (np.zeros_like(points), *decoded)]
    )


def _before_coder(tokenizer: Any, X: Any) -> Any:
    """Return what the steps before the coder make of `X`."""
    if isinstance(tokenizer, Pipeline):
        X = tokenizer[:-1].transform(X) if len(tokenizer) > 1 else X
        return _before_coder(tokenizer[-1], X)
    if hasattr(tokenizer, "best_estimator_"):
        return _before_coder(tokenizer.best_estimator_, X)
    return X


def _interval(
    value: FloatArray,
    figure: Callable[[IntArray], FloatArray],
    n_rows: int,
    n_resamples: int,
    confidence_level: float,
    random: Any,
) -> FloatArray:
    """Return (..., 2): `value` less and plus a multiple of the spread over halves."""
    half = n_rows // 2
    drawn = [
        figure(random.choice(n_rows, half, replace=False)) for _ in range(n_resamples)
    ]
    # the halves of a finite set vary by 1 / half - 1 / n_rows, samples by 1 / n_rows
    sd = np.std(drawn, axis=0, ddof=1) * np.sqrt(half / (n_rows - half))
    margin = ndtri((1 + confidence_level) / 2) * sd
    return np.stack([value - margin, value + margin], axis=-1)
