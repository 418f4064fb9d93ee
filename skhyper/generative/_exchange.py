"""Codes as words of language models, in strings and in JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper.generative._ids import as_ids, check_no_repeats, check_one_each
from skhyper.generative._items import check_has_codebooks, last_step
from skhyper.generative._packing import level_sizes
from skhyper.metrics._codes import check_codes

IntArray = NDArray[np.int64]

TOKEN = re.compile(r"<([a-z]+)_(0|[1-9][0-9]{0,18})>")


def codes_to_strings(codes: ArrayLike) -> list[str]:
    """Write codes as words of a language model, such as "<a_12><b_7>".

    A letter names the level: a, b, ..., z, aa, ab, ...

    Parameters
    ----------
    codes : array-like of int, shape (n_samples, n_levels)
        Codes, with a counter or without.

    Returns
    -------
    list of str
        A string a row.

    Raises
    ------
    ValueError
        If `codes` is no matrix of integers >= 0.

    See Also
    --------
    strings_to_codes : The way back.
    added_tokens : All the words there are.

    References
    ----------
    B. Zheng et al., "Adapting Large Language Models by Integrating Collaborative
    Semantics for Recommendation", ICDE 2024. arXiv:2311.09049.

    Examples
    --------
    >>> from skhyper.generative import codes_to_strings
    >>> codes_to_strings([[12, 7], [0, 3]])
    ['<a_12><b_7>', '<a_0><b_3>']
    """
    return ["".join(row) for row in _words(check_codes(codes))]


def strings_to_codes(strings: Iterable[str]) -> IntArray:
    """Read codes from strings such as "<a_12><b_7>".

    Parameters
    ----------
    strings : iterable of str
        As `codes_to_strings` writes them, all of one length.

    Returns
    -------
    int64 array of shape (n_samples, n_levels)
        The codes.

    Raises
    ------
    ValueError
        If there is none, or one is of another form, has levels in another order or
        another number of them; it is named.

    See Also
    --------
    codes_to_strings : The way here.

    Examples
    --------
    >>> from skhyper.generative import strings_to_codes
    >>> strings_to_codes(["<a_12><b_7>", "<a_0><b_3>"])
    array([[12,  7],
           [ 0,  3]])
    """
    if isinstance(strings, str):
        raise ValueError(f"strings={strings!r} must be a list: give [{strings!r}].")
    return _parse([(f"entry {i}", text) for i, text in enumerate(strings)])


def added_tokens(codebook_size: Sequence[int]) -> list[str]:
    """List the words that a language model has to learn for codes.

    Parameters
    ----------
    codebook_size : sequence of int
        Number of codes of each level, such as ``index.codebook_sizes_``.

    Returns
    -------
    list of str
        "<a_0>", "<a_1>", ..., level by level: for ``add_tokens`` of a Hugging Face
        tokenizer.

    Raises
    ------
    ValueError
        If `codebook_size` is no sequence of integers above 0.

    See Also
    --------
    token_embeddings : Where a model may start for them.

    Examples
    --------
    >>> from skhyper.generative import added_tokens
    >>> added_tokens([2, 3])
    ['<a_0>', '<a_1>', '<b_0>', '<b_1>', '<b_2>']
    """
    return [
        f"<{_letters(level)}_{token}>"
        for level, size in enumerate(level_sizes(codebook_size))
        for token in range(size)
    ]


def token_embeddings(
    tokenizer: Any, codebook_size: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Return a vector for each word of `added_tokens`, from the codebooks.

    Parameters
    ----------
    tokenizer : estimator
        The fitted quantizer or tokenizer that made the codes, or a Pipeline that ends
        in one.
    codebook_size : sequence of int, default=None
        Number of codes of each level, such as ``index.codebook_sizes_``. Levels that
        the tokenizer does not have, such as a counter, get zeros. None takes those of
        the tokenizer.

    Returns
    -------
    array of shape (n_tokens, latent_dim)
        Codes in tangent coordinates at the origin, in the order of `added_tokens`. A
        model of another width needs a linear map of them.

    Raises
    ------
    TypeError
        If `tokenizer` has no codebooks.
    ValueError
        If its codebooks have other sizes, or a row has codes at several positions.

    See Also
    --------
    added_tokens : What the rows are for.

    Examples
    --------
    >>> from skhyper import ResidualQuantizer
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.generative import CodeIndex, added_tokens, token_embeddings
    >>> X = load_naics().data
    >>> quantizer = ResidualQuantizer(2, 16, random_state=0).fit(X)
    >>> index = CodeIndex().fit(quantizer.transform(X), range(len(X)), quantizer)
    >>> words = added_tokens(index.codebook_sizes_)
    >>> rows = token_embeddings(quantizer, index.codebook_sizes_)
    >>> len(words) == len(rows)
    True
    """
    check_is_fitted(tokenizer)
    coder = last_step(tokenizer)
    check_has_codebooks(coder)
    if getattr(coder, "_n_positions", 1) > 1:
        raise ValueError(
            f"tokenizer has codes at {coder._n_positions} positions of a row, whose "
            "columns share codebooks. Give codebooks_ to the model as they are."
        )
    fitted = [len(book) for book in coder.codebooks_]
    sizes = fitted if codebook_size is None else level_sizes(codebook_size)
    if sizes[: len(fitted)] != fitted[: len(sizes)]:
        raise ValueError(
            f"codebook_size={sizes} does not begin with {fitted}, the codebooks of "
            "tokenizer. Give the tokenizer that made the codes."
        )
    manifold = coder._manifold()
    rows = [np.asarray(manifold.logmap0(b)) for b in coder.codebooks_[: len(sizes)]]
    rows += [np.zeros((size, rows[0].shape[1])) for size in sizes[len(rows) :]]
    return np.concatenate(rows)


def write_index_json(
    path: str | os.PathLike[str], codes: ArrayLike, ids: ArrayLike
) -> None:
    """Write items and codes to the ``*.index.json`` of LC-Rec, LETTER and MiniOneRec.

    Parameters
    ----------
    path : str or path-like
        The file, ``{"0": ["<a_12>", "<b_7>"], ...}``; one that exists is replaced.
    codes : array-like of int, shape (n_items, n_levels)
        Codes, such as ``index.codes_``.
    ids : array-like of shape (n_items,)
        All integers or all strings, such as ``index.ids_``.

    Raises
    ------
    ValueError
        If `codes` is no matrix of integers >= 0, ids repeat, or there are more or fewer
        of them.

    See Also
    --------
    read_index_json : The way back.
    """
    codes, ids = check_codes(codes), as_ids(ids)
    check_one_each(codes, ids)
    check_no_repeats(np.sort(ids))
    content = dict(zip(map(str, ids.tolist()), _words(codes), strict=True))
    text = json.dumps(content, ensure_ascii=False)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read_index_json(path: str | os.PathLike[str]) -> tuple[IntArray, NDArray[Any]]:
    """Read items and codes from the ``*.index.json`` of LC-Rec, LETTER and MiniOneRec.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    codes : int64 array of shape (n_items, n_levels)
        Their codes, in the order of the file.
    ids : array of shape (n_items,)
        Their ids: int64, if all of them are written as integers, and str otherwise.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has another form, an id occurs twice, or codes differ in length.

    See Also
    --------
    CodeIndex : ``CodeIndex(unique="none").fit(*read_index_json(path))`` looks them up.
    write_index_json : The way here.

    Examples
    --------
    >>> import os, tempfile
    >>> from skhyper.generative import read_index_json, write_index_json
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "Beauty.index.json")
    ...     write_index_json(path, [[12, 7], [0, 3]], ids=[0, 1])
    ...     codes, ids = read_index_json(path)
    >>> codes
    array([[12,  7],
           [ 0,  3]])
    """
    with open(path, "rb") as file:
        raw = file.read()
    try:
        pairs = json.loads(raw.decode("utf-8"), object_pairs_hook=_Pairs)
        if not isinstance(pairs, _Pairs):
            raise ValueError("it holds no JSON object")
        ids = _plain_ids([item for item, _ in pairs])
        check_no_repeats(np.sort(ids))
        codes = _parse([(f"item {i!r}", _joined(i, words)) for i, words in pairs])
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is no index.json, which has for each item a list of tokens such "
            f'as "<a_12>": {error}'
        ) from error
    return codes, ids


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, repeats included."""


def _letters(level: int) -> str:
    """Return the name of a level: a to z, then aa, ab and so on."""
    name = ""
    while level >= 0:
        level, at = divmod(level, 26)
        name, level = chr(ord("a") + at) + name, level - 1
    return name


def _words(codes: IntArray) -> list[list[str]]:
    names = [_letters(level) for level in range(codes.shape[1])]
    return [
        [f"<{name}_{token}>" for name, token in zip(names, row, strict=True)]
        for row in codes.tolist()
    ]


def _parse(texts: list[tuple[str, str]]) -> IntArray:
    """Return the codes that strings stand for, each with a name for errors."""
    rows: list[list[int]] = []
    for name, text in texts:
        words = TOKEN.findall(text) if isinstance(text, str) else []
        if not words or "".join(f"<{a}_{b}>" for a, b in words) != text:
            raise ValueError(f"{name} is {text!r}, expected such as '<a_12><b_7>'.")
        if [level for level, _ in words] != [_letters(i) for i in range(len(words))]:
            raise ValueError(f"{name} is {text!r}: levels must be a, b, c and so on.")
        if rows and len(words) != len(rows[0]):
            raise ValueError(
                f"{name} is {text!r}, of {len(words)} tokens, and {texts[0][0]} has "
                f"{len(rows[0])}. Give all codes the same length: where only some "
                "have a last token, give the others one."
            )
        rows.append([int(token) for _, token in words])
    if not rows:
        raise ValueError("there are no codes.")
    return check_codes(rows)


def _joined(item: str, words: Any) -> str:
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise ValueError(f"item {item!r} has {words!r}, expected a list of tokens.")
    return "".join(words)


def _plain_ids(ids: list[str]) -> NDArray[Any]:
    """Return ids as integers, if that is how all of them are written."""
    if all(re.fullmatch("0|-?[1-9][0-9]{0,17}", item) for item in ids):
        return np.array(ids, dtype=np.int64)
    return np.array(ids, dtype=str)
