"""A report on codes, and how it shows itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhyper._utils._codes import COLLAPSED

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# the verdict names: codes in use that count for less than this share of their number,
UNEVEN = 0.5
# a larger share of rows with the code of another,
COLLIDING = 0.01
# neighbours found less than this many times as often as by chance,
NEAR_CHANCE = 2.0
# agreement, corrected for chance, below this,
UNRELATED = 0.05
# and a level that takes less than this share of the error, or of the residuals
IDLE = 0.01

# what has no place among the shares of prefixes
BY_LEVEL = {
    *("codebook_size", "used", "usage", "perplexity", "gini", "largest_group"),
    "residual_ratio",
}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CodeReport:
    """Figures of a set of codes, and a verdict.

    It is made by `code_report`. All parameters are stored as attributes. Arrays have an
    entry a level, or a row: entry m of what is said of prefixes is about the first
    m + 1 tokens.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    codebook_size : tuple of n_levels ints
        Number of codes at each level.
    sizes_known : bool
        False if a size, that of a counter apart, is only one more than the largest
        token.
    counts : list of n_levels ndarrays of shape (codebook_size,), int64
        How many rows have each token.
    usage : ndarray of shape (n_levels,)
        `codebook_usage`.
    dead_codes : list of n_levels ndarrays, int64
        `dead_codes`.
    perplexity : ndarray of shape (n_levels,)
        `perplexity`.
    gini : ndarray of shape (n_levels,)
        Gini coefficient of `counts`: 0 if all codes are taken equally often, and
        ``1 - 1 / codebook_size`` if one alone is.
    collision_rate : ndarray of shape (n_levels,)
        `collision_rate` of the prefixes.
    largest_group : ndarray of shape (n_levels,), int64
        The most rows that have one prefix in common.
    has_counter : bool
        Whether the last token only counts rows whose other tokens are the same, as that
        of `add_counter` does.
    confidence_level : float
        Of the intervals.
    intervals : dict of str to ndarray of shape (..., 2)
        Lower and upper end for each entry of `perplexity`, `gini`, `neighbor_recall`,
        `agreement`, `relative_distortion` and `residual_ratio`, as far as there are
        any.
    score : str, default="ami"
        The kind of `agreement`.
    label_names : tuple of n_label_levels str, default=()
        What the columns of `y` are called.
    agreement : ndarray of shape (n_levels, n_label_levels) or None, default=None
        `prefix_agreement` with `y`.
    n_neighbors : int or None, default=None
        How many nearest rows are the neighbours of a row.
    neighbor_recall : ndarray of shape (n_levels,) or None, default=None
        Share of a row's neighbours in `X` that its prefix finds. The neighbours are the
        `n_neighbors` nearest others and those that are as near as the last of these;
        found are as many rows, those first that share the longest prefix. Where a
        group of equals has not room enough, each row of it counts by the chance that
        it would be taken. Codes that are all the same find ``chance``.
    relative_distortion : ndarray of shape (n_levels,) or None, default=None
        `relative_distortion` of what the tokenizer makes of the prefixes. NaN for a
        level that the tokenizer has not, and where all rows are equal.
    residual_ratio : ndarray of shape (n_levels,) or None, default=None
        Root mean square length of the residuals after a level over that before it.
        The residual is the distance, in the latent space, from the point that the
        prefix stands for; at first from the origin.

    See Also
    --------
    code_report : Makes it.

    Examples
    --------
    >>> from skhyper.metrics import code_report
    >>> codes = [[0, 3], [0, 1], [1, 1], [1, 1]]
    >>> report = code_report(codes, codebook_size=4, n_resamples=0)
    >>> report
    CodeReport(n_samples=4, n_levels=2, 1 finding)
    >>> print(report)
    The codes of 4 rows
    <BLANKLINE>
    25 % of the rows collide; one code has 2 rows.
    <BLANKLINE>
                    level 0  level 1
    codes                 4        4
    used                  2        2
    usage               0.5      0.5
    perplexity            2     1.75
    gini                0.5    0.625
    collision rate      0.5     0.25
    largest group         2        2
    """

    n_samples: int
    codebook_size: tuple[int, ...]
    sizes_known: bool
    counts: list[IntArray]
    usage: FloatArray
    dead_codes: list[IntArray]
    perplexity: FloatArray
    gini: FloatArray
    collision_rate: FloatArray
    largest_group: IntArray
    has_counter: bool
    confidence_level: float
    intervals: Mapping[str, FloatArray] = field(default_factory=dict)
    score: str = "ami"
    label_names: tuple[str, ...] = ()
    agreement: FloatArray | None = None
    n_neighbors: int | None = None
    neighbor_recall: FloatArray | None = None
    relative_distortion: FloatArray | None = None
    residual_ratio: FloatArray | None = None

    @property
    def n_levels(self) -> int:
        """Number of tokens of a code."""
        return len(self.codebook_size)

    @property
    def n_used(self) -> IntArray:
        """Number of different tokens at each level."""
        return np.array([np.count_nonzero(count) for count in self.counts])

    @property
    def chance(self) -> float:
        """What `neighbor_recall` is without any code; NaN where there is none."""
        if self.n_neighbors is None:
            return np.nan
        return self.n_neighbors / (self.n_samples - 1)

    @property
    def verdict(self) -> tuple[str, ...]:
        """What stands out, a sentence each; one that says so where nothing does."""
        return tuple(_findings(self)) or (
            f"No level has collapsed, and {_percent(self.collision_rate[-1])} of the "
            "rows collide.",
        )

    def to_frame(self) -> Any:
        """Return the figures as a data frame.

        Returns
        -------
        pandas.DataFrame
            A row for each level. The ends of the interval of a figure are next to it,
            with "_low" and "_high" after its name.
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        for name, values, interval in _table(self):
            columns[name] = values
            if interval is not None:
                columns[f"{name}_low"], columns[f"{name}_high"] = interval.T
        index = pd.RangeIndex(self.n_levels, name="level")
        return pd.DataFrame(columns, index=index)

    def plot(self, axes: Any = None) -> Any:
        """Draw the use of the codes, and what is said of prefixes.

        Parameters
        ----------
        axes : sequence of 2 matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        axes : ndarray of 2 matplotlib Axes
            The use of the codes as `CodebookUsageDisplay` shows it, and shares by the
            number of tokens, with their intervals.
        """
        from skhyper.plotting import CodebookUsageDisplay
        from skhyper.plotting._checks import check_matplotlib

        check_matplotlib("CodeReport.plot")
        axes = np.array(_new_axes() if axes is None else list(axes), dtype=object)
        shares = [np.sort(count)[::-1] / self.n_samples for count in self.counts]
        CodebookUsageDisplay(
            shares=shares, perplexity=self.perplexity, usage=self.usage
        ).plot(ax=axes[0])
        _draw_prefixes(self, axes[1])
        return axes

    def __repr__(self) -> str:
        n = len(list(_findings(self)))
        said = f"{n} finding{'s' if n > 1 else ''}" if n else "no findings"
        return (
            f"CodeReport(n_samples={self.n_samples}, n_levels={self.n_levels}, {said})"
        )

    def __str__(self) -> str:
        head, rows = _cells(self)
        first = max(len(row[0]) for row in rows)
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(
                [row[0].ljust(first)]
                + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in [head, *rows]
        ]
        return "\n".join([_title(self), "", *self.verdict, "", *lines])

    def _repr_html_(self) -> str:
        head, rows = _cells(self)
        lines = [f"<p><strong>{escape(_title(self))}</strong></p>", "<ul>"]
        lines += [f"<li>{escape(sentence)}</li>" for sentence in self.verdict]
        lines += ["</ul>", "<table>", f"<thead>{_html_row(head, 'th')}</thead>"]
        lines += ["<tbody>", *(_html_row(row, "td") for row in rows), "</tbody>"]
        return "\n".join([*lines, "</table>"])


def _title(report: CodeReport) -> str:
    return f"The codes of {report.n_samples} rows"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _findings(report: CodeReport) -> Iterator[str]:
    """Yield what stands out, a sentence each."""
    yield from _of_use(report)
    yield from _of_collisions(report)
    yield from _of_meaning(report)
    yield from _of_errors(report)
    if not report.sizes_known:
        yield (
            "Sizes of codebooks are not known: usage is of the codes up to the largest "
            "token."
        )


def _of_use(report: CodeReport) -> Iterator[str]:
    """Yield what stands out about levels, each by itself."""
    for level in range(report.n_levels - report.has_counter):
        size, used = report.codebook_size[level], report.n_used[level]
        if used < COLLAPSED * min(size, report.n_samples):
            yield f"Level {level} uses {used} of {size} codes."
        if report.perplexity[level] < UNEVEN * used:
            yield (
                f"Level {level} is uneven: the {used} codes that it uses count for "
                f"{report.perplexity[level]:.3g}."
            )


def _of_collisions(report: CodeReport) -> Iterator[str]:
    """Yield what stands out about rows that share a code."""
    last, tail = -1, ""
    if report.has_counter:
        last, tail = -2, " The last token only counts such rows."
    rate, most = report.collision_rate[last], report.largest_group[last]
    if rate > COLLIDING:
        yield (f"{_percent(rate)} of the rows collide; one code has {most} rows.{tail}")


def _of_meaning(report: CodeReport) -> Iterator[str]:
    """Yield where codes have little to do with neighbours or classes."""
    recall = report.neighbor_recall
    if recall is not None and recall[-1] < NEAR_CHANCE * report.chance:
        yield (
            f"Codes find {_percent(recall[-1])} of a row's neighbours, chance "
            f"{_percent(report.chance)}."
        )
    if report.agreement is None or report.score == "nmi":  # which chance raises, too
        return
    for name, best in zip(
        report.label_names, report.agreement.max(axis=0), strict=True
    ):
        if best < UNRELATED:
            yield f"Prefixes agree with {name} no more than by chance."


def _of_errors(report: CodeReport) -> Iterator[str]:
    """Yield which levels do nothing."""
    error, ratio = report.relative_distortion, report.residual_ratio
    if error is None or ratio is None:
        return
    before = np.append(1.0, error[:-1])
    for level in np.flatnonzero(error > (1 - IDLE) * before):
        yield f"Level {level} does not lower the error."
    for level in np.flatnonzero(ratio > 1 - IDLE):
        yield f"Level {level} does not shorten the residuals."


def _table(
    report: CodeReport,
) -> Iterator[tuple[str, NDArray[Any], FloatArray | None]]:
    """Yield the name of each figure, its values by level, and their intervals."""
    yield "codebook_size", np.array(report.codebook_size), None
    yield "used", report.n_used, None
    for name in (
        "usage",
        "perplexity",
        "gini",
        "collision_rate",
        "largest_group",
        "neighbor_recall",
        "relative_distortion",
        "residual_ratio",
    ):
        if getattr(report, name) is not None:
            yield name, getattr(report, name), report.intervals.get(name)
    if report.agreement is None:
        return
    for column, label in enumerate(report.label_names):
        interval = report.intervals.get("agreement")
        yield (
            f"{report.score}_{label}",
            report.agreement[:, column],
            None if interval is None else interval[:, column],
        )


def _cells(report: CodeReport) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table in words: a row for each figure."""
    head = ["", *(f"level {level}" for level in range(report.n_levels))]
    rows = []
    for name, values, interval in _table(report):
        said = [f"{value:.3g}" if value % 1 else f"{value:.0f}" for value in values]
        if interval is not None:
            said = [
                f"{cell} ({low:.3g} to {high:.3g})"
                for cell, (low, high) in zip(said, interval, strict=True)
            ]
        rows.append([_in_words(name), *said])
    return head, rows


def _in_words(name: str) -> str:
    return "codes" if name == "codebook_size" else name.replace("_", " ")


def _html_row(cells: list[str], kind: str) -> str:
    inside = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{inside}</tr>"


def _new_axes() -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(1, 2, figsize=(12.0, 4.2), layout="constrained")[1]


def _draw_prefixes(report: CodeReport, ax: Any) -> None:
    """Draw the figures of prefixes, which are shares, by the number of tokens."""
    from skhyper.plotting._colors import choose_colors
    from skhyper.plotting._drawing import INK

    lines = [line for line in _table(report) if line[0] not in BY_LEVEL]
    colors = choose_colors(np.arange(len(lines)))
    depths = np.arange(1, report.n_levels + 1)
    for at, (name, values, interval) in enumerate(lines):
        reach = None if interval is None else np.abs(interval.T - values)
        ax.errorbar(
            depths,
            values,
            yerr=reach,
            color=colors.of(at),
            marker=".",
            capsize=2.0,
            label=_in_words(name).replace("$", r"\$"),
        )
    ax.set_xticks(depths)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.set_xlabel("tokens of the prefix", color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        frameon=False, fontsize="small", bbox_to_anchor=(1.0, 1.0), loc="upper left"
    )
