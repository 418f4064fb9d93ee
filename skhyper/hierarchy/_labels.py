"""Labels of nodes, and the rows they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# an error names no more unknown labels than these
SHOWN = 5


def check_labels(labels: ArrayLike) -> NDArray[Any]:
    """Return labels as a 1-D array, or raise a ValueError."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"labels must be a list or a 1-D array of labels, got shape {array.shape}. "
            "Give a single label as [label]."
        )
    return array


def label_rows(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each label in the sorted `classes`.

    Raises
    ------
    ValueError
        If one is not among them; it is named.
    """
    if labels.dtype.kind == "O" and classes.dtype.kind == "U":
        texts = [isinstance(label, str) for label in labels]
        labels = labels.astype(str) if all(texts) else labels
    if (labels.dtype.kind in "iu") != (classes.dtype.kind in "iu"):
        raise ValueError(
            f"labels such as {labels[:1].tolist()[0]!r} are unknown: the fitted ones "
            f"are like {classes[0].item()!r}. Give labels of that type."
        )
    rows = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    strange = labels[classes[rows] != labels]
    if len(strange):
        named = ", ".join(repr(x.item()) for x in np.unique(strange)[:SHOWN])
        more = "" if len(np.unique(strange)) <= SHOWN else ", ..."
        raise ValueError(
            f"labels has {named}{more}, unknown to fit. Fit edges that name them."
        )
    return rows.astype(np.int64, copy=False)
