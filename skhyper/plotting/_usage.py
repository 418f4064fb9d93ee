"""How often each code is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper.metrics import codebook_usage, perplexity
from skhyper.metrics._codes import check_codes, check_sizes
from skhyper.plotting._checks import check_coder, check_matplotlib
from skhyper.plotting._colors import choose_colors
from skhyper.plotting._drawing import INK, LINE, new_axes


class CodebookUsageDisplay:
    """How often each code of each level is taken, from the most to the least.

    A line a level, which ends where only codes are left that no row takes. Dots show
    the share of each code if all were taken equally often.

    It is recommended to use `from_estimator` or `from_codes` to create the display. All
    parameters are stored as attributes.

    Parameters
    ----------
    shares : sequence of arrays of shape (codebook_size,)
        For each level, the share of its tokens that are each code, in falling order.
    perplexity : array of shape (n_levels,)
        The effective number of codes in use at each level.
    usage : array of shape (n_levels,)
        The share of each codebook that is taken at all.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    lines_ : list of matplotlib Line2D
        The shares of the codes that are taken, level by level.
    even_ : list of matplotlib Line2D
        What even shares would be, for each size of a codebook.
    legend_ : matplotlib Legend
        The levels, with their perplexity and usage.

    See Also
    --------
    skhyper.metrics.perplexity : The effective number of codes.
    skhyper.metrics.codebook_usage : The share of codes that are taken.
    skhyper.metrics.dead_codes : Those that are not.

    Examples
    --------
    >>> from skhyper.plotting import CodebookUsageDisplay
    >>> codes = [[0, 3], [0, 1], [1, 1], [0, 1]]
    >>> display = CodebookUsageDisplay.from_codes(codes, codebook_size=4)
    >>> display.shares[0]
    array([0.75, 0.25, 0.  , 0.  ])
    """

    def __init__(
        self,
        *,
        shares: Sequence[NDArray[np.float64]],
        perplexity: NDArray[np.float64],
        usage: NDArray[np.float64],
    ) -> None:
        self.shares = shares
        self.perplexity = perplexity
        self.usage = usage

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Any = None) -> Self:
        """Draw how often rows of `X` take the codes of an estimator.

        Parameters
        ----------
        estimator : residual quantizer or tokenizer, or a Pipeline that ends in one
            A fitted estimator of skhyper.
        X : array-like of shape (n_samples, n_features)
            The rows to encode. Of a picture or a sound each position counts.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : CodebookUsageDisplay
            The display, drawn.
        """
        check_matplotlib("CodebookUsageDisplay.from_estimator")
        coder, rows = check_coder(estimator, X, "Bare codes are drawn by from_codes.")
        return cls._of(coder._encode(rows), coder._sizes(), ax)

    @classmethod
    def from_codes(
        cls, codes: ArrayLike, codebook_size: int | Sequence[int], *, ax: Any = None
    ) -> Self:
        """Draw how often codes are taken.

        Parameters
        ----------
        codes : array-like of int, shape (n_samples, n_levels)
            Tokens, each from 0 to the size of its level's codebook less 1.
        codebook_size : int or sequence of n_levels ints
            Number of codes at each level; an int holds for all levels.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : CodebookUsageDisplay
            The display, drawn.
        """
        check_matplotlib("CodebookUsageDisplay.from_codes")
        checked = check_codes(codes)
        return cls._of(checked, check_sizes(checked, codebook_size), ax)

    @classmethod
    def _of(cls, codes: NDArray[np.int64], sizes: list[int], ax: Any) -> Self:
        counts = [
            np.bincount(column, minlength=size)
            for column, size in zip(codes.T, sizes, strict=True)
        ]
        display = cls(
            shares=[np.sort(count)[::-1] / len(codes) for count in counts],
            perplexity=perplexity(codes),
            usage=codebook_usage(codes, sizes),
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : CodebookUsageDisplay
            Itself.
        """
        check_matplotlib("CodebookUsageDisplay.plot")
        self.ax_ = new_axes(6.4, 4.2) if ax is None else ax
        self.figure_ = self.ax_.figure
        self._draw_levels()
        self._draw_even()
        self.ax_.set_yscale("log")
        self.ax_.set_xlabel("codes, the most taken first", color=INK)
        self.ax_.set_ylabel("share of tokens", color=INK)
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.legend_ = self.ax_.legend(frameon=False, fontsize="small")
        return self

    def _draw_levels(self) -> None:
        colors = choose_colors(np.arange(len(self.shares)))
        self.lines_ = []
        for level, share in enumerate(self.shares):
            taken = share[share > 0]
            self.lines_ += self.ax_.plot(
                np.arange(1, len(taken) + 1),
                taken,
                color=colors.of(level),
                marker=".",
                label=f"level {level}: perplexity {self.perplexity[level]:.3g} of "
                f"{len(share)}, {100 * self.usage[level]:.3g} % used",
            )

    def _draw_even(self) -> None:
        sizes = sorted({len(share) for share in self.shares})
        self.even_ = [
            self.ax_.plot([1, size], [1 / size] * 2, color=LINE, ls=":", lw=1.0)[0]
            for size in sizes
        ]
        self.even_[0].set_label("equal shares")
