"""The prefix tree of a set of codes, as flat arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


class CodeTrie:
    """Which token may follow which prefix, for codes of one width.

    A node is a prefix that some code has. The nodes of a level are numbered in
    lexicographic order, so that the children of a node are neighbours, the order of
    nodes is the order of their prefixes, and a leaf is a row of `rows`. Level 0 has the
    root alone, node 0.

    Parameters
    ----------
    codes : int64 array (n, width)
        In any order, repeats allowed; n and width at least 1.

    Attributes
    ----------
    rows : int64 array (n_distinct, width)
        The distinct codes in lexicographic order.
    tokens : list of int64 arrays
        Of level l, the last token of each node of level l + 1.
    starts : list of int64 arrays
        Of level l, the first child of each node, and the number of all children: the
        children of `node` are the nodes ``starts[l][node]`` to ``starts[l][node + 1]``
        of level l + 1.
    widest : list of int
        Of level l, the largest number of children that a node has.
    """

    def __init__(self, codes: IntArray) -> None:
        codes = codes[np.lexsort(codes.T[::-1])]
        # whether a row's first tokens, one more at each level, are not those before it
        opens = np.zeros(len(codes), dtype=bool)
        opens[0] = True
        first = []
        for column in codes.T:
            opens[1:] |= column[1:] != column[:-1]
            first.append(np.flatnonzero(opens))
        self.rows = codes[first[-1]]
        self.tokens = [codes[at, level] for level, at in enumerate(first)]
        parents = [np.zeros(1, dtype=np.int64), *first[:-1]]
        self.starts = [
            np.append(np.searchsorted(at, parent), len(at))
            for at, parent in zip(first, parents, strict=True)
        ]
        self.widest = [int(np.diff(starts).max()) for starts in self.starts]

    @property
    def width(self) -> int:
        """Number of tokens of a code."""
        return self.rows.shape[1]

    def n_nodes(self, level: int) -> int:
        """Return the number of prefixes of `level` tokens."""
        return len(self.tokens[level - 1]) if level > 0 else 1

    def children(
        self, level: int, nodes: IntArray
    ) -> tuple[IntArray, NDArray[np.bool]]:
        """Return the children of nodes of a level, in lexicographic order.

        Parameters
        ----------
        level : int
            From 0 to ``width - 1``.
        nodes : int64 array, any shape
            Nodes of that level.

        Returns
        -------
        children : int64 array, the shape of `nodes` and one axis more
            Nodes of the next level; as many as the widest node of the level has, so
            that what is computed of a node does not depend on the others.
        exists : bool array, the same shape
            Where a node has a child. Elsewhere `children` holds some other node.
        """
        starts = self.starts[level]
        begin, end = starts[nodes][..., None], starts[nodes + 1][..., None]
        children = begin + np.arange(self.widest[level])
        exists = children < end
        return np.minimum(children, end - 1), exists
