"""A catalogue: which item has which code, and which items lie below a prefix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._codes import resolve_sizes
from skhyper._utils._params import Interval, StrOptions, check_params
from skhyper.generative._catalogue import Catalogue
from skhyper.generative._counter import add_counter
from skhyper.generative._ids import find_ids, some
from skhyper.generative._items import (
    check_agreement,
    content_hash,
    last_step,
    read_items,
)
from skhyper.generative._reassign import settle
from skhyper.metrics._codes import check_sizes

BoolArray = NDArray[np.bool]
IntArray = NDArray[np.int64]


class CodeIndex(Catalogue, BaseEstimator):
    """Catalogue of items and their codes, from one to the other and back.

    Codes are a function of an item alone, so that several items may share one. The
    index settles that once, by a rule that does not depend on the order of the rows,
    and from then on never changes a published code.

    Parameters
    ----------
    unique : {"counter", "reassign", "none"}, default="counter"
        How items with equal codes are told apart. "counter" gives every code one more
        token, which numbers the items of a code in the order of their ids. "reassign"
        leaves a code to the item that fits it best and moves the others to free codes,
        at the least cost in total. "none" lets items share codes.
    codebook_size : int, array-like of int or None, default=None
        Codes of a level; one number a level, or one for all. None takes those of the
        tokenizer or, where there is none, the largest token of each level and one.
    misfit_quantile : float, default=0.99
        An item is a misfit if its quantization error is above this quantile of the
        errors in `fit`.

    Attributes
    ----------
    ids_ : array of shape (n_items,)
        Ids in rising order, int64 or str.
    codes_ : int64 array of shape (n_items, n_levels)
        The code of each, with the counter as the last column if there is one.
    codebook_sizes_ : int64 array of shape (n_levels,)
        How many tokens there are in each column of `codes_`. That of the counter grows
        when items are added.
    n_moved_ : int
        Items that `fit` gave another code than theirs.
    distortion_ : float or None
        Mean squared half distance of items to the codes given in `fit`; None without
        `X`.
    extra_distortion_ : float or None
        By how much it rose as items moved.
    misfit_error_ : float or None
        Squared half distance above which an item is a misfit.
    tokenizer_hash_ : str or None
        SHA-256 of what the tokenizer's codes are computed from.

    See Also
    --------
    add_counter : The counter alone.
    skhyper.metrics.collision_rate : How many items share codes.

    Notes
    -----
    The cost of a move is the squared half distance of the item to its new code, where
    the tokenizer and `X` are given. An item has the choice of its nearest free codes,
    and is shown more of them as long as the cheapest choice for all asks for that [2]_.
    Without them the cost is the number of tokens from the first that changes: a deeper
    change is cheaper, and what follows a changed token means something else. That
    choice is the best for any cost that grows with this number.

    References
    ----------
    .. [1] S. Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS
       2023, Section 3.1 (the counter). arXiv:2305.05065.
    .. [2] R. Jonker, A. Volgenant, "A Shortest Augmenting Path Algorithm for Dense and
       Sparse Linear Assignment Problems", Computing 38, 1987.

    Examples
    --------
    >>> from skhyper.generative import CodeIndex
    >>> index = CodeIndex().fit([[3, 1], [0, 2], [3, 1]], ["pen", "cup", "ink"])
    >>> index.lookup(["pen", "ink"])
    array([[3, 1, 1],
           [3, 1, 0]])
    >>> index.inverse_lookup([[3, 1, 1]]).tolist()
    ['pen']
    >>> [found.tolist() for found in index.prefix([[3], [0]])]
    [['ink', 'pen'], ['cup']]

    New items get codes of their own, and no other changes:

    >>> index.add([[3, 1]], ["bag"])
    >>> index.lookup(["bag", "ink"])
    array([[3, 1, 2],
           [3, 1, 0]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "unique": [StrOptions({"counter", "reassign", "none"})],
        "codebook_size": [
            Interval(Integral, 1, None, closed="left"),
            "array-like",
            None,
        ],
        "misfit_quantile": [Interval(Real, 0, 1, closed="both")],
    }

    codebook_sizes_: IntArray
    n_moved_: int
    distortion_: float | None
    extra_distortion_: float | None
    misfit_error_: float | None
    tokenizer_hash_: str | None

    def __init__(
        self,
        *,
        unique: str = "counter",
        codebook_size: int | Sequence[int] | None = None,
        misfit_quantile: float = 0.99,
    ) -> None:
        self.unique = unique
        self.codebook_size = codebook_size
        self.misfit_quantile = misfit_quantile

    def fit(
        self, codes: ArrayLike, ids: ArrayLike, tokenizer: Any = None, X: Any = None
    ) -> Self:
        """Make the catalogue.

        Parameters
        ----------
        codes : array-like of int, shape (n_items, n_levels)
            A code an item.
        ids : array-like of shape (n_items,)
            Integers or strings, all different.
        tokenizer : estimator, default=None
            The fitted quantizer or tokenizer that gave the codes, or a Pipeline that
            ends in one. The index notes its content, see `check_tokenizer`.
        X : array-like of shape (n_items, n_features), default=None
            What `tokenizer` gave the codes for. With it, items move by their distance
            to codes, and misfits are known.

        Returns
        -------
        self : object
            The fitted index.

        Raises
        ------
        ValueError
            If ids repeat, codes are no integers >= 0 or do not go with `codebook_size`,
            the tokenizer or `X`, or there are more items than codes to tell apart.
        """
        check_params(self)
        codes, ids, items, order = read_items(codes, ids, tokenizer, X)
        sizes = self._asked_sizes(codes, tokenizer)
        if items is not None:
            check_agreement(codes, np.asarray(tokenizer.transform(X))[order])
        settled = codes
        if self.unique == "reassign":
            settled = settle(codes, sizes, codes[:0], items)
        digest = None if tokenizer is None else content_hash(tokenizer)
        self._unique, self.tokenizer_hash_ = self.unique, digest
        self.n_moved_ = int((settled != codes).any(axis=1).sum())
        self.distortion_ = self.extra_distortion_ = self.misfit_error_ = None
        if items is not None:
            errors = items.errors(codes)
            self.distortion_ = float(errors.mean())
            self.extra_distortion_ = float((items.errors(settled) - errors).mean())
            self.misfit_error_ = float(np.quantile(errors, self.misfit_quantile))
        if self.unique == "counter":
            settled = add_counter(settled)
        self._keep(ids, settled, sizes)
        return self

    def add(
        self, codes: ArrayLike, ids: ArrayLike, tokenizer: Any = None, X: Any = None
    ) -> BoolArray | None:
        """Add items, and leave those that are there as they are.

        Parameters
        ----------
        codes : array-like of int, shape (n_new, n_levels)
            A code an item, without a counter.
        ids : array-like of shape (n_new,)
            New ids, of the type of those in `fit`.
        tokenizer : estimator, default=None
            The tokenizer of `fit`.
        X : array-like of shape (n_new, n_features), default=None
            What it gave the codes for.

        Returns
        -------
        misfits : bool array of shape (n_new,) or None
            Which items the codebooks fit worse than almost all of `fit`. Many of them
            mean that the catalogue has drifted and the tokenizer should be fitted
            again. None without `X`.

        Raises
        ------
        ValueError
            If an id is there already, codes have another width or larger tokens than
            in `fit`, the tokenizer is another one, or no code is free. The index is
            then as it was.
        """
        check_is_fitted(self)
        if tokenizer is not None:
            self.check_tokenizer(tokenizer)
        limit = self.misfit_error_
        if X is not None and limit is None:
            raise ValueError(
                "X is given, but the index was fitted without, so that no error is "
                "known to compare with. Fit it with tokenizer and X, or leave X out."
            )
        counted = self._unique == "counter"
        sizes = self.codebook_sizes_.tolist()[: -1 if counted else None]
        codes, ids, items, order = read_items(codes, ids, tokenizer, X)
        self._check_new(codes, ids, sizes)
        misfits = None
        if items is not None and limit is not None:
            misfits = np.empty(len(ids), dtype=bool)
            misfits[order] = items.errors(codes) > limit
        if self._unique == "reassign":
            codes = settle(codes, sizes, self.codes_, items)
        if counted:
            known = self.codes_[:, :-1]
            codes = add_counter(np.concatenate([known, codes]))[len(known) :]
        everyone = np.concatenate([self.ids_, ids])
        codes = np.concatenate([self.codes_, codes])
        order = np.argsort(everyone, kind="stable")
        self._keep(everyone[order], codes[order], sizes)
        return misfits

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Raise an error unless a tokenizer is the one that made the codes.

        Parameters
        ----------
        tokenizer : estimator
            As it would be given to `fit`. Copies, pickles and files of that one pass.

        Raises
        ------
        ValueError
            If anything that its codes are computed from differs, or the index was
            fitted without a tokenizer.
        """
        check_is_fitted(self)
        found, expected = content_hash(tokenizer), self.tokenizer_hash_
        if expected is None:
            raise ValueError(
                "tokenizer cannot be checked, since the index was fitted without one. "
                "Fit it with fit(codes, ids, tokenizer=tokenizer)."
            )
        if found != expected:
            raise ValueError(
                f"tokenizer is a {type(tokenizer).__name__} with the content hash "
                f"{found[:12]}..., but the codes of this index are from one with "
                f"{expected[:12]}.... Load that one, or fit a new index to the codes "
                "of this one."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the index to a file, as `skhyper.io.save` does.

        Parameters
        ----------
        path : str or path-like
            The file, which holds data and no code. One that exists is replaced as a
            whole.
        """
        from skhyper import io

        io.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load an index that `save` has written.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        index : CodeIndex
            Equal to the one saved.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, or holds something else.
        """
        from skhyper import io

        index = io.load(path)
        if not isinstance(index, cls):
            raise ValueError(
                f"{path} holds a {type(index).__name__}, not a {cls.__name__}. Load it "
                "with skhyper.io.load."
            )
        return index

    def _asked_sizes(self, codes: IntArray, tokenizer: Any) -> list[int]:
        """Return the number of codes of each level, if the codes go with them."""
        asked, width = self.codebook_size, codes.shape[1]
        books = getattr(last_step(tokenizer), "codebooks_", None)
        if books is not None:
            n_positions = getattr(last_step(tokenizer), "_n_positions", 1)
            fitted = [len(book) for book in books for _ in range(n_positions)]
            if width > len(fitted):
                raise ValueError(
                    f"codes has {width} columns, and tokenizer gives {len(fitted)}. "
                    "Give what its transform gives, without a counter."
                )
            sizes = fitted[:width]
            if asked is not None and resolve_sizes(asked, width) != sizes:
                raise ValueError(
                    f"codebook_size={asked!r}, but the codebooks of tokenizer have "
                    f"{sizes} codes. Leave codebook_size out."
                )
            return check_sizes(codes, sizes)
        if asked is not None:
            return check_sizes(codes, asked)
        return [int(top) + 1 for top in codes.max(axis=0)]

    def _check_new(self, codes: IntArray, ids: NDArray[Any], sizes: list[int]) -> None:
        """Raise a ValueError for items that the catalogue cannot take in."""
        at, unknown = find_ids(self.ids_, ids)
        if len(unknown) < len(ids):
            known = self.ids_[at[self.ids_[at] == ids]].tolist()
            raise ValueError(
                f"ids has {len(known)} that are in the index: {some(known)}. Published "
                "codes do not change; leave these items out."
            )
        if codes.shape[1] != len(sizes):
            raise ValueError(
                f"codes has {codes.shape[1]} columns, and those given to fit had "
                f"{len(sizes)}. Give codes of the same tokenizer, without a counter."
            )
        check_sizes(codes, sizes)

    def _keep(self, ids: NDArray[Any], codes: IntArray, sizes: Sequence[int]) -> None:
        """Publish codes, with the counter as the last column if there is one."""
        last = [int(codes[:, -1].max()) + 1] if self._unique == "counter" else []
        self.codebook_sizes_ = np.array([*sizes, *last], dtype=np.int64)
        self._publish(ids, codes)
