"""One colour for each label, whatever the labels are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# M. A. Petroff, "Accessible Color Sequences for Data Visualization", arXiv:2107.02270
PETROFF = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


class Colors(NamedTuple):
    """What `scatter` needs to colour points by their labels."""

    cmap: Any
    low: float
    high: float
    classes: NDArray[Any] | None  # None if the labels are measurements

    def values(self, labels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the number of each label that `cmap` turns into a colour."""
        if self.classes is None:
            return labels.astype(np.float64)
        return np.searchsorted(self.classes, labels).astype(np.float64)

    def of(self, label: Any) -> Any:
        """Return the colour of one label."""
        value = self.values(np.asarray([label]))[0]
        span = self.high - self.low
        return self.cmap((value - self.low) / span if span > 0 else 0.0)


def is_continuous(labels: NDArray[Any], most: int | None = None) -> bool:
    """Tell measurements from classes.

    They are floats that are not all whole numbers, and, if there is a number that is
    the most of numbered classes, numbers of more values than that.
    """
    if labels.dtype.kind == "f" and np.any(labels != np.floor(labels)):
        return True
    if most is None or labels.dtype.kind not in "iuf":
        return False
    return len(np.unique(labels)) > most


def choose_colors(
    labels: NDArray[Any], cmap: Any = None, most: int | None = None
) -> Colors:
    """Return the colours of `labels`: a class each, or a scale of measurements."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if is_continuous(labels, most):
        chosen = colormaps.get_cmap("viridis" if cmap is None else cmap)
        return Colors(chosen, float(labels.min()), float(labels.max()), None)
    classes = np.unique(labels)
    n = len(classes)
    if cmap is None:
        colors = list(PETROFF[:n]) if n <= len(PETROFF) else _hues(n)
    else:
        chosen = colormaps.get_cmap(cmap)
        # a qualitative map gives its colours in order, another one is sampled evenly
        listed = isinstance(chosen, ListedColormap) and n <= chosen.N <= 20
        colors = list(chosen(np.arange(n) if listed else np.linspace(0.0, 1.0, n)))
    return Colors(ListedColormap(colors), -0.5, n - 0.5, classes)


def _hues(n: int) -> list[Any]:
    """Return `n` muted hues around the circle, darker and lighter in turn."""
    from matplotlib.colors import hsv_to_rgb

    turn = np.arange(n) % 2
    hsv = np.column_stack([np.arange(n) / n, 0.75 - 0.2 * turn, 0.7 + 0.2 * turn])
    return list(hsv_to_rgb(hsv))
