"""What a tokenizer says of items: where they lie, how well codes fit, who made them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from skhyper._utils._codes import unfold_codes
from skhyper.generative._ids import as_ids, check_no_repeats, check_one_each
from skhyper.metrics._codes import check_codes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# numbers in the largest array of a block
BLOCK_NUMBERS = 2**21

# With fewer codes that the tokenizer gives, the rows are in another order. Those of
# another processor may differ in a few near ties.
AGREEING = 0.5

# All that the codes of an estimator with codebooks are computed from. What steers or
# records training is left out, and so is what a later version may add to either.
DECISIVE = (
    *("classes_", "codebooks_", "codes_shape_", "curvature_", "embedding_", "gains_"),
    *("offset_", "scale_", "weights_"),
    *("beam_size", "geometry", "input_geometry", "residual"),
)

# of any other estimator, such as a scaler before it, what does not change its output
RUN_ONLY = {"copy", "memory", "n_jobs", "random_state", "verbose"}


class ItemPoints:
    """Items as points of the manifold on which a fitted tokenizer has its codes.

    Parameters
    ----------
    tokenizer : estimator
        A fitted quantizer or tokenizer of skhyper, or a Pipeline that ends in one.
    X : array-like
        A row an item, as the tokenizer takes it.
    """

    def __init__(self, tokenizer: Any, X: Any) -> None:
        check_is_fitted(tokenizer)
        self.coder = last_step(tokenizer)
        check_has_codebooks(self.coder)
        if self.coder is not tokenizer and len(tokenizer.steps) > 1:
            X = tokenizer[:-1].transform(X)
        self.manifold = self.coder._manifold()
        self.stack = self.coder._stack()
        self.n_positions = getattr(self.coder, "_n_positions", 1)
        points = self._points(X)
        self.points = points.reshape(-1, self.n_positions, points.shape[-1])

    def _points(self, X: Any) -> FloatArray:
        if hasattr(self.coder, "embedding_"):  # X has names of nodes
            return np.asarray(self.manifold.expmap0(self.coder.embed(X)))
        types = [np.float64, np.float32]
        X = validate_data(self.coder, X, reset=False, dtype=types, order="C")
        return np.asarray(self.coder._points(X), dtype=np.float64)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.points)

    def reorder(self, order: IntArray) -> None:
        """Put the items in another order."""
        self.points = self.points[order]

    def errors(self, codes: IntArray) -> FloatArray:
        """Return the squared half distance of each item to its code."""
        step = max(1, BLOCK_NUMBERS // self.points[0].size)
        blocks = [slice(at, at + step) for at in range(0, len(self), step)]
        return np.concatenate([self._errors(self.points[b], codes[b]) for b in blocks])

    def _errors(self, points: FloatArray, codes: IntArray) -> FloatArray:
        found = self.stack.decode(unfold_codes(codes, self.n_positions))
        each = self.manifold.sq_half_dist(points, found.reshape(points.shape))
        return np.asarray(each).mean(axis=1)

    def nearest(
        self, rows: IntArray, width: int, k: int
    ) -> tuple[IntArray, FloatArray]:
        """Return the `k` codes nearest to some items, and the errors they would have.

        They come of a beam of `k` prefixes, and are all codes if there are no more
        than `k`. The shapes are (n_rows, n_found, width) and (n_rows, n_found).
        """
        books = self.stack.codebooks[:width]
        widest = k * max(max(len(book) for book in books), self.points.shape[2])
        step = max(1, BLOCK_NUMBERS // widest)
        blocks = [rows[at : at + step] for at in range(0, len(rows), step)]
        codes = np.concatenate(
            [self._beam(self.points[block, 0], books, k) for block in blocks]
        )
        n_found, at = codes.shape[1], 0
        errors = np.empty(codes.shape[:2])
        for block in blocks:
            part = slice(at, at := at + len(block))
            points = np.repeat(self.points[block], n_found, axis=0)
            flat = self._errors(points, codes[part].reshape(-1, width))
            errors[part] = flat.reshape(-1, n_found)
        return codes, errors

    def _beam(self, Z: FloatArray, books: list[FloatArray], k: int) -> IntArray:
        """Return the last `k` prefixes of each point, each step from one product."""
        n, d = Z.shape
        rest, prefixes = Z[:, None], np.empty((n, 1, 0), dtype=np.int64)
        for level, book in enumerate(books):
            square = (rest * rest).sum(axis=2, keepdims=True)
            score = square - 2.0 * (rest @ book.T) + (book * book).sum(axis=1)
            score /= self.manifold.gap(book)[:, 0] * self.manifold.gap(rest)
            score = score.reshape(n, -1)
            size = min(k, score.shape[1])
            best = np.argpartition(score, size - 1, axis=1)[:, :size]
            parent, token = np.divmod(best, len(book))
            at = np.arange(n)[:, None], parent
            prefixes = np.concatenate([prefixes[at], token[..., None]], axis=2)
            rest = self.stack.subtract(rest[at].reshape(-1, d), level, token.ravel())
            rest = rest.reshape(n, size, d)
        return prefixes


def read_items(
    codes: ArrayLike, ids: ArrayLike, tokenizer: Any, X: Any
) -> tuple[IntArray, NDArray[Any], ItemPoints | None, IntArray]:
    """Return codes, ids and points of items, checked, by rising id, and that order."""
    codes, ids = check_codes(codes), as_ids(ids)
    check_one_each(codes, ids)
    order = np.argsort(ids, kind="stable")
    codes, ids = codes[order], ids[order]
    check_no_repeats(ids)
    if X is None:
        return codes, ids, None, order
    if tokenizer is None:
        raise ValueError(
            "X is given without tokenizer. Give the fitted tokenizer that turned X "
            "into codes, or leave X out."
        )
    items = ItemPoints(tokenizer, X)
    if len(items) != len(ids):
        raise ValueError(
            f"X has {len(items)} rows and ids has {len(ids)}. Give one row an id."
        )
    items.reorder(order)
    return codes, ids, items, order


def check_agreement(codes: IntArray, expected: IntArray) -> None:
    """Raise a ValueError if the codes are not what the tokenizer gives."""
    same = (codes == expected[:, : codes.shape[1]]).all(axis=1).mean()
    if same < AGREEING:
        raise ValueError(
            f"codes equals tokenizer.transform(X) in {same:.0%} of the rows only. Give "
            "codes, ids and X in the same order of items."
        )


def last_step(tokenizer: Any) -> Any:
    """Return what gives the codes: of a Pipeline the last step."""
    return tokenizer.steps[-1][1] if hasattr(tokenizer, "steps") else tokenizer


def check_has_codebooks(coder: Any) -> None:
    """Raise a TypeError for what has no codes on a manifold."""
    if not hasattr(coder, "codebooks_"):
        raise TypeError(
            f"tokenizer is, or ends in, a {type(coder).__name__}, which has no "
            "codebooks_. Give a fitted quantizer or tokenizer of skhyper, or leave "
            "tokenizer out."
        )


def content_hash(tokenizer: Any) -> str:
    """Return the SHA-256 of all that a tokenizer's codes are computed from.

    Equal for copies, pickles and files of one fit, and whatever the number of threads,
    the device or the platform; different after another fit.

    Raises
    ------
    TypeError
        If a step of a Pipeline holds something other than numbers, strings, arrays,
        functions and estimators.
    """
    check_is_fitted(tokenizer)
    digest = hashlib.sha256()
    _feed(digest, tokenizer, "tokenizer")
    return digest.hexdigest()


def _feed(digest: Any, value: Any, name: str) -> None:
    """Write a value to a digest, so that no two values write the same."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        value = value.tolist()
    kind = ""
    parts: list[tuple[Any, Any]] = []
    if value is None or isinstance(value, bool | int | float | str):
        kind = f"{type(value).__name__} {value!r}"
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        kind = f"array {little.dtype.str} {value.shape}"
        digest.update(kind.encode() + b"\0" + little.tobytes())
        return
    elif isinstance(value, list | tuple):
        kind, parts = f"list {len(value)}", list(enumerate(value))
    elif isinstance(value, Mapping):
        kind = f"dict {len(value)}"
        parts = sorted(value.items(), key=lambda item: repr(item[0]))
    elif isinstance(value, BaseEstimator):
        content = _content(value)
        kind, parts = f"{type(value).__name__} {len(content)}", sorted(content.items())
    elif callable(value) and hasattr(value, "__qualname__"):
        kind = f"function {value.__module__}.{value.__qualname__}"
    else:
        raise TypeError(
            f"{name} is of type {type(value).__name__}, which cannot be hashed. Apply "
            "the steps before the last to X, and give the last step as tokenizer."
        )
    digest.update(kind.encode() + b"\0")
    for key, part in parts:
        digest.update(f"{key!r}\0".encode())
        _feed(digest, part, f"{name}.{key}")


def _content(estimator: Any) -> dict[str, Any]:
    """Return the attributes of an estimator that its output is computed from."""
    if hasattr(estimator, "steps"):
        return {"steps": [step for _, step in estimator.steps]}
    if hasattr(estimator, "codebooks_"):
        known = {name: getattr(estimator, name, None) for name in DECISIVE}
        return {name: value for name, value in known.items() if value is not None}
    ours = ("_skl_", "_sklearn_", "_metadata_request")
    return {
        name: value
        for name, value in vars(estimator).items()
        if name not in RUN_ONLY and not name.startswith(ours)
    }
