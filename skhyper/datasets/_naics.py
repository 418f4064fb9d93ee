"""The North American Industry Classification System, the data set that ships."""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

LEVELS = ("sector", "subsector", "industry_group", "industry", "national_industry")


def load_naics(
    *, nodes: str = "industries", return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Load the NAICS 2022 industries: text embeddings and a five-level tree.

    =====================   =================================
    Samples                 1012 (2125 with ``nodes="all"``)
    Dimensionality          384
    Features                real, rows of unit length
    Classes                 20, 96, 308, 689 at the 4 levels
    =====================   =================================

    Parameters
    ----------
    nodes : {"industries", "all"}, default="industries"
        The 1012 national industries, which are the leaves of the tree, or all 2125
        nodes. The text of an inner node often repeats that of its only child, so
        that 522 texts of "all" occur twice; the leaves are distinct.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        If True, data and target are pandas DataFrames.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (n_samples, 384), float32
            Embeddings of "title. description" by all-MiniLM-L6-v2. They are stored in
            half precision: rows have length 1 to within 1e-4.
        target : {ndarray, DataFrame} of shape (n_samples, 4), int64
            Class at each of the levels in `target_names`, from coarse to fine: the
            node's ancestor there, or the node itself. With ``nodes="all"`` it is -1
            at the levels below the node. Both values of `nodes` number alike.
        target_names : list of 4 str
            Names of the levels: sector, subsector, industry_group, industry.
        target_codes : list of 4 ndarrays of str
            NAICS code of each class of each level: the code of sample ``i`` at level
            ``l`` is ``target_codes[l][target[i, l]]``.
        target_titles : list of 4 ndarrays of str
            Title of each class of each level.
        codes, titles, descriptions : ndarray of shape (n_samples,), str objects
            NAICS code and text of each sample. 154 industry groups have an empty
            description.
        parents : ndarray of shape (2125,), int64
            Only with ``nodes="all"``: row of each node's parent, -1 for a sector.
            Parents come before their children.
        levels : ndarray of shape (2125,), int64
            Only with ``nodes="all"``: 1 for a sector to 5 for a national industry.
        feature_names : list of 384 str
            The names of the columns of `data`.
        frame : DataFrame of shape (n_samples, 388)
            Data and target side by side; None unless `as_frame`.
        DESCR : str
            The full description of the data set.

    (data, target) : tuple if ``return_X_y`` is True
        The two arrays, or the two DataFrames if `as_frame`.

    Raises
    ------
    ValueError
        If `nodes` is neither "industries" nor "all".
    ImportError
        If `as_frame` is True and pandas is not installed.

    See Also
    --------
    make_tree : Generated samples with labels at every level of a tree.

    Notes
    -----
    Source: U.S. Census Bureau, https://www.census.gov/naics/, a work of the United
    States government in the public domain. `DESCR` says what was done to it.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> naics = load_naics()
    >>> naics.data.shape, naics.target.shape
    ((1012, 384), (1012, 4))
    >>> row = list(naics.codes).index("311230")
    >>> naics.titles[row]
    'Breakfast Cereal Manufacturing'
    >>> for titles, label in zip(naics.target_titles, naics.target[row]):
    ...     print(titles[label])
    Manufacturing
    Food Manufacturing
    Grain and Oilseed Milling
    Breakfast Cereal Manufacturing
    """
    if nodes not in ("industries", "all"):
        raise ValueError(f"nodes must be 'industries' or 'all', got {nodes!r}.")
    codes, parent_codes, titles, descriptions = _read_table()
    row_of = {code: row for row, code in enumerate(codes)}
    parents = np.array([row_of.get(code, -1) for code in parent_codes])
    path, levels = _paths(parents)
    target, classes = _classes(path, levels)
    keep = slice(None) if nodes == "all" else levels == len(LEVELS)

    data, target = _read_embeddings()[keep], target[keep]
    feature_names = [f"minilm_{i}" for i in range(data.shape[1])]
    target_names = list(LEVELS[:-1])
    frame = None
    if as_frame:
        frame, data, target = _as_frames(data, target, feature_names, target_names)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=target_names,
        target_codes=[codes[rows] for rows in classes],
        target_titles=[titles[rows] for rows in classes],
        codes=codes[keep],
        titles=titles[keep],
        descriptions=descriptions[keep],
        DESCR=_resource("naics2022.rst").read_text(encoding="utf-8"),
        **({"parents": parents, "levels": levels} if nodes == "all" else {}),
    )


def _resource(name: str) -> Any:
    """Return the data file `name`, also from a zipped package."""
    return files("skhyper.datasets").joinpath("data", name)


def _read_table() -> NDArray[np.object_]:
    """Return the columns code, parent's code, title and description."""
    packed = _resource("naics2022.tsv.gz").read_bytes()
    _, *lines = gzip.decompress(packed).decode("utf-8").splitlines()
    return np.array([line.split("\t") for line in lines], dtype=object).T


def _read_embeddings() -> NDArray[np.float32]:
    """Return the embedding of every node, in the order of the table."""
    with _resource("naics2022_minilm.npy").open("rb") as file:
        stored: NDArray[np.float16] = np.load(file, allow_pickle=False)
    return stored.astype(np.float32)


def _paths(parents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each node's ancestors from the root to itself, then -1, and its level."""
    path = np.full((len(parents), len(LEVELS)), -1, dtype=np.int64)
    levels = np.zeros(len(parents), dtype=np.int64)
    # Parents come before their children.
    for node, parent in enumerate(parents):
        if parent >= 0:
            path[node] = path[parent]
            levels[node] = levels[parent]
        path[node, levels[node]] = node
        levels[node] += 1
    return path, levels


def _classes(
    path: NDArray[np.int64], levels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Return labels at each level but the last, and the row of each of its classes.

    The last level is left out: each of its nodes is a class of its own.
    """
    target = np.full((len(path), len(LEVELS) - 1), -1, dtype=np.int64)
    classes = [np.flatnonzero(levels == level) for level in range(1, len(LEVELS))]
    for column, rows in enumerate(classes):
        known = path[:, column] >= 0
        target[known, column] = np.searchsorted(rows, path[known, column])
    return target, classes


def _as_frames(
    data: Any, target: Any, feature_names: list[str], target_names: list[str]
) -> tuple[Any, Any, Any]:
    """Return data and target side by side in a pandas DataFrame, and each alone."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("as_frame=True needs pandas: pip install pandas.") from error
    X = pd.DataFrame(data, columns=feature_names)
    y = pd.DataFrame(target, columns=target_names)
    return pd.concat([X, y], axis=1), X, y
