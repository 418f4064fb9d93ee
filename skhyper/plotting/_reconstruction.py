"""Rows, and what their codes keep of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skhyper.plotting._checks import (
    check_depths,
    check_input_shape,
    check_matplotlib,
    check_n_samples,
)
from skhyper.plotting._colors import PETROFF
from skhyper.plotting._drawing import INK, new_axes
from skhyper.plotting._mosaic import (
    COLUMN,
    join_pictures,
    picture_gap,
    stack_traces,
    to_rgba,
    trace_step,
)

FloatArray = NDArray[np.float64]

PALE = "#c2c8cf"


class ReconstructionDisplay:
    """Rows, and their reconstructions from codes or from prefixes of codes.

    Pictures are shown in columns: the row of the data on top, its reconstructions
    below. Sounds and plain vectors are traces, one below the other, each reconstruction
    drawn over its original.

    It is recommended to use `from_estimator` to create the display. All parameters are
    stored as attributes.

    Parameters
    ----------
    inputs : array of shape (n_samples, n_features)
        The rows.
    reconstructions : array of shape (n_depths, n_samples, n_features)
        What they become.
    input_shape : tuple of int, default=None
        Shape of a row that is a picture, (channels, height, width) with 1 or 3
        channels, or a sound, (channels, length); None for plain vectors.
    depths : sequence of n_depths ints, default=None
        From how many levels each of the reconstructions was made; None for a single
        one, from whole codes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    image_ : matplotlib AxesImage or None
        All pictures as one. Black and white, or the lowest and the highest intensity,
        are the smallest and the largest value of the inputs.
    input_lines_ : matplotlib LineCollection or None
        The traces of the inputs, once for each depth.
    reconstruction_lines_ : matplotlib LineCollection or None
        The traces of the reconstructions, first those of the first depth.
    legend_ : matplotlib Legend or None
        The legend of the traces.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.plotting import ReconstructionDisplay
    >>> from skhyper.quantizers import ResidualQuantizer
    >>> X = load_naics().data
    >>> quantizer = ResidualQuantizer(2, 16, n_init=1, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(quantizer, X, depths=[1, 2])
    >>> display.reconstructions.shape
    (2, 8, 384)
    """

    def __init__(
        self,
        *,
        inputs: FloatArray,
        reconstructions: FloatArray,
        input_shape: tuple[int, ...] | None = None,
        depths: Sequence[int] | None = None,
    ) -> None:
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.input_shape = input_shape
        self.depths = depths

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_samples: int = 8,
        input_shape: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the first rows of `X`, and what the estimator makes of them.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform` and `inverse_transform`, or a Pipeline
            of such.
        X : array-like of shape (n_samples, n_features)
            The data.
        n_samples : int, default=8
            How many rows to show; all, if there are fewer.
        input_shape : sequence of int, default=None
            Shape of a row that is a picture, (channels, height, width) with 1 or 3
            channels, or a sound, (channels, length). None takes the ``input_shape`` of
            the estimator, or of the last step of a Pipeline, if it has one.
        depths : sequence of int, default=None
            Reconstruct from the first 1, 2, ... levels of the codes; None
            reconstructs from whole codes.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.
        """
        check_matplotlib("ReconstructionDisplay.from_estimator")
        check_n_samples(n_samples)
        for method in ("transform", "inverse_transform"):
            if not hasattr(estimator, method):
                raise TypeError(
                    "estimator must have transform and inverse_transform, but "
                    f"{type(estimator).__name__} has no {method}."
                )
        check_is_fitted(estimator)
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if input_shape is None:
            input_shape = getattr(last, "input_shape", None)
        rows = X[:n_samples]  # type: ignore[index]
        codes = np.asarray(estimator.transform(rows))
        inputs = check_array(rows, dtype=np.float64, input_name="X")
        shape = check_input_shape(input_shape, inputs.shape[1])
        n_levels, *grid = getattr(last, "codes_shape_", codes.shape[1:])
        shown = [n_levels] if depths is None else check_depths(depths, n_levels)
        prefixes = [codes[:, : depth * math.prod(grid)] for depth in shown]
        found = [np.asarray(estimator.inverse_transform(codes)) for codes in prefixes]
        display = cls(
            inputs=inputs,
            reconstructions=np.stack(found),
            input_shape=shape,
            depths=None if depths is None else shown,
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
        display : ReconstructionDisplay
            Itself.
        """
        check_matplotlib("ReconstructionDisplay.plot")
        self.image_ = self.input_lines_ = self.reconstruction_lines_ = None
        self.legend_ = None
        shape = self.input_shape
        if shape is not None and len(shape) == 3:
            self.ax_ = self._draw_pictures(shape, ax)
        else:
            self.ax_ = self._draw_traces(1 if shape is None else shape[0], ax)
        self.figure_ = self.ax_.figure
        self.ax_.spines[:].set_visible(False)
        self.ax_.tick_params(length=0.0, labelcolor=INK, labelsize="small")
        return self

    def _names(self) -> list[str]:
        """Return what each of the reconstructions is called."""
        if self.depths is None:
            return ["reconstruction"]
        return [f"{depth} level{'s' * (depth > 1)}" for depth in self.depths]

    def _draw_pictures(self, shape: tuple[int, ...], ax: Any) -> Any:
        rows = np.concatenate([self.inputs[None], self.reconstructions])
        n_channels, height, width = shape
        gap = picture_gap(height, width)
        mosaic = join_pictures(rows.reshape(*rows.shape[:2], *shape), gap)
        if ax is None:
            across = min(12.0, 0.9 * len(self.inputs))
            ax = new_axes(across + 1.0, across * len(mosaic) / mosaic.shape[1] + 0.1)
        low, high = float(self.inputs.min()), float(self.inputs.max())
        if n_channels == 1:
            self.image_ = ax.imshow(
                mosaic[..., 0], "gray", interpolation="nearest", vmin=low, vmax=high
            )
        else:
            colors = to_rgba(mosaic, low, high)
            self.image_ = ax.imshow(colors, interpolation="nearest")
        middles = (height - 1) / 2 + (height + gap) * np.arange(len(rows))
        ax.set_yticks(middles, ["input", *self._names()])
        ax.set_xticks([])
        ax.set_anchor("W")  # or else the layout has too little room for the names
        return ax

    def _draw_traces(self, n_channels: int, ax: Any) -> Any:
        n_depths, n_samples, n_features = self.reconstructions.shape
        shape = (n_depths, n_samples * n_channels, n_features // n_channels)
        if ax is None:
            ax = new_axes(max(6.4, 4.0 * n_depths), 0.8 + 0.6 * shape[1])
        step = trace_step(self.inputs)
        repeated = np.broadcast_to(self.inputs, self.reconstructions.shape)
        self.input_lines_ = _add_lines(
            ax,
            stack_traces(repeated.reshape(shape), step),
            {"label": "input", "color": PALE, "linewidth": 1.6},
        )
        self.reconstruction_lines_ = _add_lines(
            ax,
            stack_traces(self.reconstructions.reshape(shape), step),
            {"label": "reconstruction", "color": PETROFF[0], "linewidth": 0.8},
        )
        ax.margins(0.01, 0.02)
        ax.set_xticks([])
        if self.depths is not None:
            ax.set_xticks(COLUMN * np.arange(n_depths) + 0.5, self._names())
        middles = np.median(self.inputs) - step * n_channels * np.arange(n_samples)
        ax.set_yticks(middles, range(n_samples))
        place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
        self.legend_ = ax.legend(ncols=2, frameon=False, fontsize="small", **place)
        return ax


def _add_lines(ax: Any, lines: FloatArray, style: dict[str, Any]) -> Any:
    from matplotlib.collections import LineCollection

    return ax.add_collection(LineCollection(list(lines), **style))
