"""Rows in the latent space, and the codes among them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhyper.plotting._checks import check_coder, check_labels, check_matplotlib
from skhyper.plotting._colors import Colors, choose_colors
from skhyper.plotting._drawing import (
    INK,
    LINE,
    MOST_NAMES,
    draw_disk,
    name_labels,
    new_axes,
    point_size,
    room_for_names,
    scatter,
    write_caption,
)
from skhyper.plotting._geometry import DiskMap, FloatArray, tangent_pca


class LatentDisplay:
    """Rows in the latent space, coloured by label, and the codes of the first level.

    A hyperbolic latent space is shown as the Poincare disk, a flat one by its two
    principal axes.

    It is recommended to use `from_estimator` to create the display. All parameters are
    stored as attributes.

    Parameters
    ----------
    latents : array of shape (n_points, 2)
        The rows, or the positions of all rows: points of the unit disk, or their
        coordinates on the principal axes.
    codes : array of shape (n_codes, 2)
        The codes of the first level.
    labels : array of shape (n_points,), default=None
        What colours the points. Floats that are not all whole, and numbers of more
        than 20 values, are measurements; everything else is a class.
    explained_variance_ratio : float, default=None
        Share of the variance of the latents that the plane of the picture holds; None
        if the latents are points of a disk, shown as they are.
    scale : float, default=1.0
        Factor by which tangent vectors at the centre of the disk were magnified.
    flat : bool, default=False
        Whether the latent space is flat.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    rim_ : matplotlib Circle or None
        The unit circle; None for a flat space.
    points_ : matplotlib PathCollection
        The rows.
    codes_ : matplotlib PathCollection
        The codes.
    legend_ : matplotlib Legend or None
        The legend, if the labels are classes, and not too many.
    colorbar_ : matplotlib Colorbar or None
        The scale of the colours, for other labels.

    See Also
    --------
    PoincareDiskDisplay : With the tree of the codes, and flat space on the disk too.

    Notes
    -----
    Points of more than two dimensions come to the disk as in `PoincareDiskDisplay`:
    by tangent PCA, magnified so that they fill it.

    Examples
    --------
    >>> from skhyper.datasets import make_tree
    >>> from skhyper.plotting import LatentDisplay
    >>> from skhyper.tokenizers import HRQVAETokenizer
    >>> X, y = make_tree(100, random_state=0)
    >>> tokenizer = HRQVAETokenizer(
    ...     2, 4, latent_dim=2, hidden_layer_sizes=8, max_iter=3, random_state=0
    ... ).fit(X)
    >>> display = LatentDisplay.from_estimator(tokenizer, X, y[:, 0])
    >>> display.latents.shape, display.codes.shape
    ((100, 2), (4, 2))
    """

    def __init__(
        self,
        *,
        latents: FloatArray,
        codes: FloatArray,
        labels: NDArray[Any] | None = None,
        explained_variance_ratio: float | None = None,
        scale: float = 1.0,
        flat: bool = False,
    ) -> None:
        self.latents = latents
        self.codes = codes
        self.labels = labels
        self.explained_variance_ratio = explained_variance_ratio
        self.scale = scale
        self.flat = flat

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the latents of rows of `X`.

        Parameters
        ----------
        estimator : tokenizer or residual quantizer, or a Pipeline that ends in one
            A fitted estimator of skhyper. A quantizer's latents are the rows, as
            points of the space in which it quantizes.
        X : array-like of shape (n_samples, n_features)
            The rows to show. A picture or a sound has a latent at each position.
        y : array-like of shape (n_samples,), default=None
            What colours the rows; None leaves them in one colour.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            Further arguments of `plot`.

        Returns
        -------
        display : LatentDisplay
            The display, drawn.
        """
        check_matplotlib("LatentDisplay.from_estimator")
        coder, rows = check_coder(
            estimator, X, "Bare points are drawn by PoincareDiskDisplay.from_points."
        )
        labels = None if y is None else check_labels(y, len(rows), coder._n_positions)
        manifold, Z = coder._manifold(), coder._points(rows)
        codes = coder._prefix_points(np.arange(len(coder.codebooks_[0]))[:, None])
        if manifold.c == 0:
            plane = tangent_pca(manifold, Z)
            display = cls(
                latents=plane.coordinates(Z),
                codes=plane.coordinates(codes),
                labels=labels,
                explained_variance_ratio=plane.explained_variance_ratio,
                flat=True,
            )
        else:
            to_disk = DiskMap(manifold, Z)
            display = cls(
                latents=to_disk(Z),
                codes=to_disk(codes),
                labels=labels,
                explained_variance_ratio=to_disk.explained_variance_ratio,
                scale=to_disk.scale,
            )
        return display.plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        cmap: Any = None,
        point_kwargs: dict[str, Any] | None = None,
        code_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        cmap : str or matplotlib Colormap, default=None
            Colours of the labels. None takes Petroff's accessible colours for up to
            ten classes, hues around the circle for more, and "viridis" for
            measurements.
        point_kwargs : dict, default=None
            For ``matplotlib.axes.Axes.scatter``, which draws the rows.
        code_kwargs : dict, default=None
            For ``matplotlib.axes.Axes.scatter``, which draws the codes.

        Returns
        -------
        display : LatentDisplay
            Itself.
        """
        check_matplotlib("LatentDisplay.plot")
        colors = None
        if self.labels is not None:
            colors = choose_colors(self.labels, cmap, most=MOST_NAMES)
        if ax is None:
            ax = new_axes(5.6 + room_for_names(colors), 5.6)
        self.ax_, self.figure_ = ax, ax.figure
        self.rim_ = self._draw_frame()
        write_caption(ax, self.explained_variance_ratio, self.scale, self.flat)
        self._draw_points(colors, point_kwargs or {})
        self._draw_codes(code_kwargs or {})
        self.legend_ = self.colorbar_ = None
        if colors is not None:
            self.legend_, self.colorbar_ = name_labels(
                ax, colors, self.points_, [self.codes_]
            )
        return self

    def _draw_frame(self) -> Any:
        if not self.flat:
            return draw_disk(self.ax_)
        self.ax_.set_aspect("equal")
        self.ax_.spines[:].set_color(LINE)
        self.ax_.tick_params(color=LINE, labelcolor=INK, labelsize="small")
        return None

    def _draw_points(self, colors: Colors | None, kwargs: dict[str, Any]) -> None:
        style = {"s": point_size(len(self.latents)), "alpha": 0.6, "linewidth": 0.0}
        self.points_ = scatter(
            self.ax_, self.latents, colors, self.labels, style, kwargs, plain=LINE
        )

    def _draw_codes(self, kwargs: dict[str, Any]) -> None:
        style = {
            "s": float(np.clip(2_000 / len(self.codes), 16.0, 60.0)),
            "marker": "X",
            "edgecolor": "white",
            "linewidth": 0.7,
            "zorder": 3.0,
            "label": "code",
        }
        self.codes_ = scatter(self.ax_, self.codes, None, None, style, kwargs)
