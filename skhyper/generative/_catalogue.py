"""What a catalogue of items and codes answers."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._trie import CodeTrie
from skhyper.generative._ids import as_ids, find_ids, some
from skhyper.metrics._codes import check_codes

IntArray = NDArray[np.int64]

# Of each catalogue its tree, and where each of its leaves begins in the rows sorted by
# code. Outside its __dict__, which holds NumPy arrays only.
_trees: WeakKeyDictionary[Any, tuple[CodeTrie, IntArray, IntArray]]
_trees = WeakKeyDictionary()


class Catalogue:
    """Items in rising order of ids, and their codes.

    A subclass sets both, and calls `_publish` for that.
    """

    ids_: NDArray[Any]
    codes_: IntArray
    _unique: str

    def __len__(self) -> int:
        """Return the number of items; 0 before `fit`."""
        return len(getattr(self, "ids_", ()))

    def __bool__(self) -> bool:
        """Be true, also where there are no items yet."""
        return True

    def lookup(self, ids: ArrayLike) -> IntArray:
        """Return the codes of items.

        Parameters
        ----------
        ids : array-like of shape (n,)
            Ids of the catalogue, in any order; repeats are allowed.

        Returns
        -------
        codes : int64 array of shape (n, n_levels)
            Their rows of `codes_`.

        Raises
        ------
        ValueError
            If an id is unknown; it is named.
        """
        check_is_fitted(self)
        at, unknown = find_ids(self.ids_, as_ids(ids))
        if unknown.size:
            raise ValueError(
                f"ids has {len(unknown)} that are not in the index: "
                f"{some(unknown.tolist())}. Add them with add(codes, ids)."
            )
        return self.codes_[at]

    def inverse_lookup(self, codes: ArrayLike) -> NDArray[Any]:
        """Return the items that have codes.

        Parameters
        ----------
        codes : array-like of int, shape (n, n_levels)
            Codes of the catalogue, in full, with the counter if there is one.

        Returns
        -------
        ids : array of shape (n,)
            The item of each.

        Raises
        ------
        ValueError
            If a code has another width, or no item or several have it.
        """
        check_is_fitted(self)
        codes = check_codes(codes)
        width = self.codes_.shape[1]
        if codes.shape[1] != width:
            raise ValueError(
                f"codes has {codes.shape[1]} columns, and codes of this index have "
                f"{width}. For the items below a prefix use prefix(codes)."
            )
        begin, end, order = self._below(codes)
        bad = np.flatnonzero(end - begin != 1)
        if bad.size:
            row = bad[0]
            who = "several items share" if end[row] > begin[row] else "no item has"
            raise ValueError(
                f"codes has {codes[row].tolist()} in row {row}, which {who}. "
                "prefix(codes) gives the items of each code, however many."
            )
        return self.ids_[order[begin]]

    def prefix(self, codes: ArrayLike) -> list[NDArray[Any]]:
        """Return all the items below prefixes.

        Parameters
        ----------
        codes : array-like of int, shape (n, m) with 1 <= m <= n_levels
            Codes, or their first m tokens.

        Returns
        -------
        ids : list of n arrays
            Of each prefix its items, sorted by code and, where that is equal, by id;
            an empty array where there is none.

        Raises
        ------
        ValueError
            If `codes` is no matrix of integers >= 0, or wider than those of the index.
        """
        check_is_fitted(self)
        codes = check_codes(codes)
        if codes.shape[1] > self.codes_.shape[1]:
            raise ValueError(
                f"codes has {codes.shape[1]} columns, and codes of this index have "
                f"{self.codes_.shape[1]}. Give codes of this width, or fewer tokens."
            )
        begin, end, order = self._below(codes)
        ids = self.ids_[order]
        return [ids[at:to] for at, to in zip(begin, end, strict=True)]

    def to_frame(self) -> Any:
        """Return the catalogue as a pandas data frame.

        Returns
        -------
        pandas.DataFrame
            A row an item, with its id as the index, and a column a level, from
            "level_0"; the counter is called "counter".

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install pandas.") from error
        names = [f"level_{level}" for level in range(self.codes_.shape[1])]
        if self._unique == "counter":
            names[-1] = "counter"
        index = pd.Index(self.ids_.tolist(), name="id")
        return pd.DataFrame(self.codes_, index=index, columns=names)

    def _publish(self, ids: NDArray[Any], codes: IntArray) -> None:
        self.ids_, self.codes_ = ids, codes
        _trees.pop(self, None)

    def _tree(self) -> tuple[CodeTrie, IntArray, IntArray]:
        """Return the tree, where its leaves begin among sorted rows, and their order.

        The order of rows is that of codes and then of ids; there is one begin more.
        """
        if self not in _trees:
            order = np.lexsort(self.codes_.T[::-1])
            rows = self.codes_[order]
            opens = np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)]
            begins = np.append(np.flatnonzero(opens), len(rows))
            _trees[self] = CodeTrie(rows), begins, order
        return _trees[self]

    def _below(self, prefixes: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return the ranges of sorted rows below prefixes, and the order of rows."""
        trie, begins, order = self._tree()
        begin, end = leaves_below(trie, prefixes)
        return begins[begin], begins[end], order


def leaves_below(trie: CodeTrie, prefixes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first leaf below each prefix, and the one after its last.

    The two are equal where there is no such prefix.
    """
    begin: IntArray = np.zeros(len(prefixes), dtype=np.int64)
    end = np.ones_like(begin)
    for level in range(trie.width):
        starts, tokens = trie.starts[level], trie.tokens[level]
        begin, end = starts[begin], starts[end]
        if level < prefixes.shape[1]:
            wanted = prefixes[:, level]
            first = _bisect(tokens, wanted, begin, end)
            found = first < end
            found[found] = tokens[first[found]] == wanted[found]
            begin, end = first, first + found
    return begin, end


def _bisect(
    tokens: IntArray, wanted: IntArray, low: IntArray, high: IntArray
) -> IntArray:
    """Return the first place in each range of rising tokens that is not below."""
    while (open_ := low < high).any():
        middle = (low + high) // 2
        below = np.zeros_like(open_)
        below[open_] = tokens[middle[open_]] < wanted[open_]
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low
