"""Fitted estimators in files that hold data and no code.

A file is a safetensors file, so that any safetensors library reads its arrays, under
names such as ``codebooks_.0`` or ``weights_.encoder.0.weight``. Its metadata has one
entry, "skhyper", a JSON object (with one entry only, because safetensors writes several
in no fixed order, and equal estimators shall give equal bytes):

``sha256``
    Of the whole file, with the 64 digits of this value read as zeros.
``format``
    The version of this format, an integer.
``skhyper``
    The version of the package that wrote the file; it decides nothing.
``class``, ``params``, ``state``
    The estimator's class, its parameters, and every other attribute. None, bool, int,
    str, finite float and list stand for themselves, and any other type is an object
    with one key that names it, see `_pack`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

import skhyper
from skhyper._consistency import NETWORKS, check_consistent

__all__ = ["load", "save"]

FORMAT = 1
NO_DIGEST = "0" * 64

# the classes that a file may name
ESTIMATORS: dict[str, type[BaseEstimator]] = {
    cls.__name__: cls
    for cls in (
        skhyper.CodeIndex,
        skhyper.GenerativeRecommender,
        skhyper.GenerativeRetriever,
        skhyper.ItemKNNRecommender,
        skhyper.MarkovRecommender,
        skhyper.PopularityRecommender,
        skhyper.SASRecRecommender,
        skhyper.HRQVAETokenizer,
        skhyper.HierarchyTokenizer,
        skhyper.HyperVQClassifier,
        skhyper.HyperVQTokenizer,
        skhyper.HyperbolicKMeans,
        skhyper.HyperbolicLogisticRegression,
        skhyper.HyperbolicResidualQuantizer,
        skhyper.PoincareEmbedding,
        skhyper.RQVAETokenizer,
        skhyper.ResidualQuantizer,
        skhyper.SoftVQTokenizer,
        skhyper.TokenPrior,
        skhyper.VQVAETokenizer,
    )
}

# what comes of a file that follows the form of `save` in part only
MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    SafetensorError,
)

# what belongs to the running program, and is no part of what was fitted
TRANSIENT = {"_skl_callbacks", "_metadata_request"}

CONTENT = (
    "A file holds None, numbers, str, lists, tuples, dicts with str keys, and NumPy "
    "arrays of numbers or str."
)

Tensors = dict[str, NDArray[Any]]


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Save a fitted estimator to a safetensors file.

    Parameters
    ----------
    estimator : estimator of skhyper
        A fitted estimator. Of a Pipeline, save the step. Callbacks and metadata
        requests are not saved, and of a user's own ``encoder`` or ``decoder`` only the
        weights are.
    path : str or path-like
        The file. One that exists is replaced at once and as a whole when all is
        written; if anything fails, it stays as it was.

    Raises
    ------
    TypeError
        If the class of `estimator` is not one of skhyper's, or a parameter or an
        attribute is of a type that has no place in the file, such as a
        `numpy.random.RandomState`.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    ValueError
        If a parameter was set after `fit` to a value that is out of range or does not
        go with the fitted arrays, or those hold NaN or infinity.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import os, tempfile
    >>> from skhyper import ResidualQuantizer, io
    >>> from skhyper.datasets import load_naics
    >>> X = load_naics().data
    >>> quantizer = ResidualQuantizer(2, 8, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "quantizer.safetensors")
    ...     io.save(quantizer, path)
    ...     twin = io.load(path)
    >>> bool((twin.transform(X) == quantizer.transform(X)).all())
    True
    """
    name = type(estimator).__name__
    if ESTIMATORS.get(name) is not type(estimator):
        raise TypeError(f"estimator must be one of {sorted(ESTIMATORS)}; got a {name}.")
    check_is_fitted(estimator)
    check_consistent(estimator)
    tensors: Tensors = {}
    try:
        packed = _pack_estimator(estimator, "", tensors)
    except TypeError as error:
        raise TypeError(f"{name} cannot be saved: {error}") from None
    document = {
        "sha256": NO_DIGEST,
        "format": FORMAT,
        "skhyper": skhyper.__version__,
        **packed,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    raw = safetensors.numpy.save(tensors, metadata={"skhyper": text})
    # the metadata come first in the file, and the digest first in the metadata
    digest = hashlib.sha256(raw).hexdigest()
    _replace_file(path, raw.replace(NO_DIGEST.encode(), digest.encode(), 1))


def load(
    path: str | os.PathLike[str], *, encoder: Any = None, decoder: Any = None
) -> BaseEstimator:
    """Load an estimator that `save` has written.

    No code in the file is run, so that files from others are safe to load, and torch
    is not imported, unless a network is given.

    Parameters
    ----------
    path : str or path-like
        The file.
    encoder, decoder : torch.nn.Module, default=None
        For an estimator that was fitted with a network of the user's own: a network of
        the same kind, whose weights the file has. It is copied.

    Returns
    -------
    estimator : estimator
        With the parameters, the fitted attributes and the output of the one saved. A
        parameter that the file does not name has its default.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of `save`, is damaged in any byte, has a newer format,
        holds arrays whose shapes do not go together, lacks a layer, holds NaN or
        infinity where output comes from, or needs a network that is not given, or
        another one.

    See Also
    --------
    save : The way here, with an example.
    """
    with open(path, "rb") as file:
        raw = file.read()
    try:
        document = _read_document(raw)
        tensors = safetensors.numpy.load(raw)
        cls = ESTIMATORS.get(document["class"])
        if cls is None:
            raise ValueError(f"its class {document['class']!r} is unknown to skhyper.")
        params, state = (
            {k: _unpack(v, tensors) for k, v in document[part].items()}
            for part in ("params", "state")
        )
        given = {"encoder": encoder, "decoder": decoder}
        networks = _take_networks(params, given)
        estimator = cls(**params)
        vars(estimator).update(state)
        check_is_fitted(estimator)
        check_consistent(estimator)
        if networks:
            _check_networks(estimator, networks)
    except MALFORMED as error:
        reason = f"it lacks {error}." if isinstance(error, KeyError) else error
        raise ValueError(f"{path} cannot be loaded: {reason}") from error
    return estimator


def _is_network(name: str, value: Any) -> bool:
    return name in NETWORKS and callable(value)


class _Missing:
    """Where a user's own network was saved."""


def _take_networks(params: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Put the given networks where the file has none; return their names."""
    needed = [name for name, value in params.items() if value is _Missing]
    for name, network in given.items():
        if (name in needed) == callable(network):
            continue
        if name in needed:
            raise ValueError(
                f"its {name} is a network of the user's own, of which a file holds the "
                f"weights only; give one of the same kind: load(path, {name}=...)."
            )
        if network is not None:
            raise ValueError(
                f"{name} is given, but the file needs none: it was fitted with "
                f"{name}={params.get(name)!r}. Leave {name} out."
            )
    params.update({name: given[name] for name in needed})
    return needed


def _check_networks(estimator: Any, names: list[str]) -> None:
    """Raise a ValueError if the weights are not those of the given networks."""
    try:
        estimator._network()
    except RuntimeError as error:
        raise ValueError(
            f"the weights in the file are not of the {' and '.join(names)} given: "
            f"{error}"
        ) from error


def _read_document(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a file's metadata, once the file is found whole."""
    size = int.from_bytes(raw[:8], "little")
    try:
        text = json.loads(raw[8 : 8 + size])["__metadata__"]["skhyper"]
        document = json.loads(text)
        version, digest = document["format"], document["sha256"]
    except MALFORMED as error:
        raise ValueError(
            "it is not a file that skhyper.io.save wrote, or it is damaged."
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"its format is {version!r}, and skhyper {skhyper.__version__} reads "
            f"format {FORMAT}. Upgrade skhyper if the file is newer."
        )
    blank = raw.replace(str(digest).encode(), NO_DIGEST.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ValueError("it is damaged: its SHA-256 is not the one it had when saved.")
    return dict(document)


def _pack_estimator(estimator: Any, prefix: str, tensors: Tensors) -> dict[str, Any]:
    """Return the class, the parameters and all else of an estimator as JSON."""
    packed = {
        k: {"network": k} if _is_network(k, v) else _pack(v, prefix + k, tensors)
        for k, v in vars(estimator).items()
        if k not in TRANSIENT
    }
    names = estimator.get_params(deep=False)
    return {
        "class": type(estimator).__name__,
        "params": {k: v for k, v in packed.items() if k in names},
        "state": {k: v for k, v in packed.items() if k not in names},
    }


def _pack(value: Any, name: str, tensors: Tensors) -> Any:
    """Return `value` as JSON, and put its arrays in `tensors`, under their names."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind in (list, tuple):
        items = [_pack(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if kind is dict and all(type(k) is str for k in value):
        return {"dict": {k: _pack(v, f"{name}.{k}", tensors) for k, v in value.items()}}
    if isinstance(value, np.dtype) and _is_plain(value):
        return {"dtype": value.str}
    if isinstance(value, np.generic):
        return {"scalar": _pack(np.asarray(value), name, tensors)}
    if kind in (np.ndarray, np.memmap):
        if _is_plain(value.dtype):
            return {"array": _pack_array(value, name, tensors)}
        values = value.ravel().tolist()
        if value.dtype.kind in "OU" and all(type(v) is str for v in values):
            return {"strings": [value.dtype.str, value.shape, values]}
        raise TypeError(f"{name} is an array of dtype {value.dtype}. {CONTENT}")
    if ESTIMATORS.get(kind.__name__) is kind:  # a parameter, such as an index
        return {"estimator": _pack_estimator(value, f"{name}.", tensors)}
    if name == "random_state":
        raise TypeError(
            f"random_state is a {kind.__name__}. Set an integer or None before "
            "saving: set_params(random_state=0)."
        )
    raise TypeError(f"{name} is of type {kind.__name__}. {CONTENT}")


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether safetensors has such numbers."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _pack_array(value: NDArray[Any], name: str, tensors: Tensors) -> list[str]:
    """Store an array; return its name, its dtype and the order of its memory."""
    while name in tensors:  # of {"a.b": ...} and {"a": {"b": ...}}
        name += "'"
    little = value.dtype.newbyteorder("<")
    tensors[name] = np.asarray(value, dtype=little, order="C")
    return [name, value.dtype.str, "F" if value.flags.fnc else "C"]


def _unpack_estimator(content: dict[str, Any], tensors: Tensors) -> BaseEstimator:
    """Return an estimator that is a parameter of another."""
    parts = (content["params"], content["state"])
    params, state = ({k: _unpack(v, tensors) for k, v in p.items()} for p in parts)
    estimator = ESTIMATORS[content["class"]](**params)
    vars(estimator).update(state)
    return estimator


def _unpack(node: Any, tensors: Tensors) -> Any:
    """Return what `_pack` has packed."""
    if isinstance(node, list):
        return [_unpack(v, tensors) for v in node]
    if not isinstance(node, dict):
        return node
    ((tag, content),) = node.items()
    match tag:
        case "float":
            return float(content)
        case "tuple":
            return tuple(_unpack(content, tensors))
        case "network":
            return _Missing
        case "dict":
            return {k: _unpack(v, tensors) for k, v in content.items()}
        case "dtype":
            return np.dtype(content)
        case "estimator":
            return _unpack_estimator(content, tensors)
        case "scalar":
            return _unpack(content, tensors)[()]
        case "strings":
            dtype, shape, values = content
            return np.array(values, dtype=dtype).reshape(shape)
        case "array":
            name, dtype, order = content
            if tensors[name].dtype != np.dtype(dtype).newbyteorder("="):
                raise ValueError(f"{name} is {tensors[name].dtype}, expected {dtype}.")
            return np.array(tensors[name], dtype=dtype, order=order)
    raise ValueError(f"it holds a value of unknown type {tag!r}.")


def _replace_file(path: str | os.PathLike[str], raw: bytes) -> None:
    """Write a file whole or not at all."""
    target = os.path.realpath(path)  # a link stays a link
    temporary = os.path.join(
        os.path.dirname(target), f".skhyper-{secrets.token_hex(8)}"
    )
    try:
        with open(temporary, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
