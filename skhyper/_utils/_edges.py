"""Edges of a hierarchy, child -> parent: what users give, as pairs of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

IntArray = NDArray[np.int64]

# a longer cycle is cut short in the message
SHOWN = 8


def check_edges(edges: Any, name: str = "edges") -> tuple[NDArray[Any], IntArray]:
    """Return the distinct labels in `edges`, sorted, and its edges as their numbers.

    Parameters
    ----------
    edges : array-like of shape (n_edges, 2), DataFrame, DiGraph or iterable of pairs
        Labels (child, parent), all strings or all integers. A graph, or any object
        with an attribute ``edges``, stands for these.
    name : str
        What the user calls them, for the messages.

    Returns
    -------
    classes : ndarray of shape (n_nodes,), str or int64
        The labels.
    index : ndarray of shape (n_distinct, 2), int64
        Rows of `classes`, each pair once, in rising order.

    Raises
    ------
    ValueError
        If there are no edges, they are not pairs, a label is missing or neither a
        string nor an integer, both kinds occur, or an edge joins a node to itself.
        Cycles are for `check_acyclic`.
    """
    pairs = _as_pairs(edges, name)
    classes, index = _number(pairs)
    loops = np.flatnonzero(index[:, 0] == index[:, 1])
    if loops.size:
        label = classes[index[loops[0], 0]].item()
        raise ValueError(
            f"{name} joins {label!r} to itself in row {loops[0]}. Leave such rows out: "
            "a hierarchy has no self-loops."
        )
    return classes, distinct(index, len(classes))


def _number(pairs: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Return the distinct labels, sorted, and the pairs as their numbers."""
    if pairs.dtype.kind != "O":
        classes, index = np.unique(pairs, return_inverse=True)
        return classes, index.reshape(-1, 2)
    # Hashing a million strings takes a moment, sorting them long.
    labels = sorted(set(pairs.flat))
    number = {label: at for at, label in enumerate(labels)}
    index = np.fromiter(map(number.__getitem__, pairs.flat), np.int64, pairs.size)
    return np.array(labels, dtype=str), index.reshape(-1, 2)


def distinct(index: IntArray, n_nodes: int) -> IntArray:
    """Return each pair once, in rising order."""
    key = np.unique(index[:, 0].astype(np.int64) * n_nodes + index[:, 1])
    return np.column_stack(np.divmod(key, n_nodes))


def _as_pairs(edges: Any, name: str) -> NDArray[Any]:
    """Return an array (n_edges, 2) of int64 or of str objects."""
    if callable(getattr(edges, "is_directed", None)) and not edges.is_directed():
        raise ValueError(
            f"{name} is an undirected graph; give a networkx.DiGraph whose edges run "
            "from the child to the parent."
        )
    if hasattr(edges, "to_numpy"):  # a DataFrame, whatever its columns are called
        edges = edges.to_numpy()
    elif hasattr(edges, "edges"):
        edges = edges.edges() if callable(edges.edges) else edges.edges
    if not isinstance(edges, np.ndarray) and isinstance(edges, Iterable):
        # NumPy would turn a number beside a string into a string
        edges = np.array(list(edges), dtype=object)
    pairs = np.asarray(edges)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"{name} must be pairs (child, parent) of shape (n_edges, 2), got shape "
            f"{pairs.shape}."
        )
    if len(pairs) == 0:
        raise ValueError(f"{name} is empty; at least 1 edge (child, parent) is needed.")
    return _one_kind(pairs, name)


def _one_kind(pairs: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the labels as int64 or as str objects, or raise a ValueError."""
    if pairs.dtype.kind not in "iu":
        pairs = pairs.astype(object)
        kinds = {kind: _kind(kind) for kind in set(map(type, pairs.flat))}
        if None in kinds.values():
            _refuse_first(pairs, kinds, name)
        if set(kinds.values()) == {"str"}:
            return pairs
        if "str" in kinds.values():
            text, number = (
                next(label for label in pairs.flat if kinds[type(label)] == kind)
                for kind in ("str", "int")
            )
            raise ValueError(
                f"{name} mixes strings and integers, such as {str(text)!r} and "
                f"{int(number)}; make all labels the same kind."
            )
    info = np.iinfo(np.int64)
    if pairs.min() < info.min or pairs.max() > info.max:
        raise ValueError(f"{name} has integers that do not fit int64; use strings.")
    return pairs.astype(np.int64)


def _kind(kind: type) -> str | None:
    if issubclass(kind, str):
        return "str"
    is_count = issubclass(kind, Integral) and not issubclass(kind, bool)
    return "int" if is_count else None


def _refuse_first(pairs: NDArray[Any], kinds: Any, name: str) -> None:
    """Raise a ValueError about the first label that is no string and no integer."""
    at = next(at for at, x in enumerate(pairs.flat) if kinds[type(x)] is None)
    label = pairs.flat[at]
    raise ValueError(
        f"{name} has the label {label!r} in row {at // 2}. Labels must be strings or "
        f"integers: leave out rows where one is missing, and cast whole numbers with "
        f"{name}.astype(int)."
    )


def adjacency(index: IntArray, n_nodes: int) -> csr_array:
    """Return the boolean sparse matrix with an entry (child, parent) for each edge."""
    ones = np.ones(len(index), dtype=bool)
    return csr_array((ones, (index[:, 0], index[:, 1])), shape=(n_nodes, n_nodes))


def find_cycle(index: IntArray, n_nodes: int) -> list[int] | None:
    """Return the nodes of one cycle, the first again at the end, or None.

    `index` has no self-loops.
    """
    _, part = connected_components(
        adjacency(index, n_nodes), directed=True, connection="strong"
    )
    inside = index[part[index[:, 0]] == part[index[:, 1]]]
    if len(inside) == 0:
        return None
    # Each node of a strong component has a parent in it: walk until a node comes back.
    parent = dict(inside[::-1].tolist())
    path: list[int] = [int(inside[0, 0])]
    seen = {path[0]: 0}
    while (node := parent[path[-1]]) not in seen:
        seen[node] = len(path)
        path.append(node)
    return [*path[seen[node] :], node]


def check_acyclic(index: IntArray, classes: NDArray[Any], name: str = "edges") -> None:
    """Raise a ValueError that names a cycle, if there is one."""
    cycle = find_cycle(index, len(classes))
    if cycle is None:
        return
    names = [str(classes[node]) for node in cycle]
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 2], "...", *names[-2:]]
    raise ValueError(
        f"{name} has the cycle {' -> '.join(names)}, so that no node of it is above "
        "the others. Take out one of its edges."
    )


def ancestors(index: IntArray, n_nodes: int) -> csr_array:
    """Return a sparse matrix: the edges of the shortest way up to each ancestor."""
    step = adjacency(index, n_nodes)
    new, known, length = step, step.astype(np.int64), 1
    while new.nnz:
        # of the pairs a step farther, those that no shorter way has found
        new = (new @ step) > known.astype(bool)
        length += 1
        known = known + length * new.astype(np.int64)
    known.sort_indices()
    return known


def closure(index: IntArray, n_nodes: int) -> IntArray:
    """Return all pairs (node, ancestor) of edges without cycles, in rising order."""
    return entries(ancestors(index, n_nodes))


def entries(matrix: csr_array) -> IntArray:
    """Return (row, column) of each stored number, row by row."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.column_stack([row, matrix.indices]).astype(np.int64, copy=False)


def check_rows(edges: Any, n_rows: int, name: str = "edges") -> IntArray:
    """Return `edges` between rows of an array, distinct, or raise a ValueError."""
    classes, index = check_edges(edges, name)
    if classes.dtype.kind == "U":
        raise ValueError(
            f"{name} must hold row numbers, got the label {str(classes[0])!r}. Number "
            "labels with numpy.unique(edges, return_inverse=True)."
        )
    if classes[0] < 0 or classes[-1] >= n_rows:
        wrong = classes[0] if classes[0] < 0 else classes[-1]
        raise ValueError(
            f"{name} has the row number {wrong}, but there are {n_rows} rows: it must "
            f"be from 0 to {n_rows - 1}."
        )
    return np.asarray(classes[index], dtype=np.int64)
