"""What more than one figure is made of."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhyper.plotting._colors import Colors

INK = "#33383f"
LINE = "#8a929c"

# classes that a legend has room for, of more, a bar names this many; and their letters
MOST_NAMES = 20
MOST_LETTERS = 40


def new_axes(width: float, height: float) -> Any:
    """Return the axes of a new figure of a size in inches."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def draw_disk(ax: Any) -> Any:
    """Make room for the unit disk, and return its rim."""
    from matplotlib.patches import Circle

    rim = ax.add_patch(
        Circle((0.0, 0.0), 1.0, facecolor="none", edgecolor=LINE, linewidth=0.8)
    )
    ax.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), xticks=[], yticks=[])
    ax.set_aspect("equal")
    ax.spines[:].set_visible(False)
    return rim


def write_caption(ax: Any, ratio: float | None, scale: float, flat: bool) -> None:
    """Say below the axes what was done to the points, if anything."""
    said = []
    if ratio is not None:
        name = "PCA of flat space" if flat else "tangent PCA"
        said.append(f"{name}, {100 * ratio:.3g} % of the variance")
    if scale != 1.0:
        said.append(f"magnified {scale:.3g}-fold")
    ax.set_xlabel(", ".join(said), color=INK, fontsize="small")


def point_size(n_points: int) -> float:
    """Return the area of a marker that leaves many points apart."""
    return float(np.clip(12_000 / n_points, 2.0, 18.0))


def scatter(
    ax: Any,
    points: NDArray[np.float64],
    colors: Colors | None,
    labels: NDArray[Any] | None,
    style: dict[str, Any],
    kwargs: dict[str, Any],
    plain: str = INK,
) -> Any:
    """Draw points in the colours of their labels, or all in a plain one."""
    from matplotlib.collections import PathCollection

    if not kwargs.keys().isdisjoint({"c", "color", "cmap"}):
        pass
    elif colors is None or labels is None:
        style = {"c": plain, **style}
    else:
        values = colors.values(labels)
        style = {
            "c": values,
            "cmap": colors.cmap,
            "vmin": colors.low,
            "vmax": colors.high,
            **style,
        }
    return ax.scatter(*points.T, **merge(style, kwargs, PathCollection))


def merge(
    style: dict[str, Any], kwargs: dict[str, Any], artist: type
) -> dict[str, Any]:
    """Return the defaults overridden by the user's arguments, whatever their alias."""
    from matplotlib.cbook import normalize_kwargs

    return style | normalize_kwargs(kwargs, artist)


def name_of(label: Any) -> str:
    """Return what a legend calls a class."""
    return shorten(str(label), MOST_LETTERS, placeholder="...")


def room_for_names(colors: Colors | None) -> float:
    """Return the inches that `name_labels` needs beside the axes, about."""
    if colors is None:
        return 0.0
    names = [] if colors.classes is None else map(name_of, colors.classes)
    return 0.7 + 0.075 * max(map(len, names), default=4)


def name_labels(
    ax: Any, colors: Colors, artist: Any, more: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Say beside the axes what the colours mean.

    Returns
    -------
    legend, colorbar
        A legend of the classes, and of the artists in `more`; or else a bar, for
        measurements and for more classes than a legend has room for.
    """
    from matplotlib.lines import Line2D

    classes = colors.classes
    if classes is None or len(classes) > MOST_NAMES:
        return None, _draw_bar(ax, artist, classes)
    handles = [
        Line2D(
            *([], []),
            linestyle="",
            marker="o",
            color=colors.of(label),
            label=name_of(label),
        )
        for label in classes
    ]
    # the layout leaves room for what is beside an axes that fills its place to the left
    ax.set_anchor("W")
    legend = ax.legend(
        handles=[*handles, *more],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize="small",
        handletextpad=0.2,
    )
    return legend, None


def _draw_bar(ax: Any, artist: Any, classes: NDArray[Any] | None) -> Any:
    """Draw the scale of colours; of classes, it names some."""
    bar = ax.figure.colorbar(artist, ax=ax, shrink=0.6 if classes is None else 0.9)
    bar.solids.set_alpha(1.0)
    bar.outline.set_visible(False)
    if classes is not None:
        named = np.linspace(0, len(classes) - 1, MOST_NAMES).round().astype(int)
        bar.set_ticks(named, labels=[name_of(label) for label in classes[named]])
    bar.ax.tick_params(color=LINE, labelcolor=INK, labelsize="small")
    return bar
