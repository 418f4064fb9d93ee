"""Whether the arrays of a fitted estimator go together: what a file is checked for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import skhyper
from skhyper._utils._grid import N_STRIDES, grid_shape
from skhyper._utils._params import check_params
from skhyper._utils._trie import CodeTrie
from skhyper.base import BaseCoder
from skhyper.generative._baselines import CountingRecommender
from skhyper.generative._estimator import CodeEstimator
from skhyper.hierarchy._base import NodeEstimator

# parameters that may hold a user's own network: code, which has no place in a file
NETWORKS = ("encoder", "decoder")

# of strided convolutions
WINDOW = 4

# what output is computed from
NUMBERS = ["cluster_centers_", "codebooks_", "coef_", "gains_", "intercept_"]
NUMBERS += ["embedding_", "offset_", "scale_", "similarities_", "weights_"]

Shapes = Iterator[tuple[str, Any, tuple[int, ...]]]


def check_consistent(estimator: BaseEstimator) -> None:
    """Raise ValueError for parameters out of range and arrays that are of no use."""
    check_params(estimator)
    for name, array, expected in _shapes(estimator):
        shape = np.shape(array)
        # 0 stands for any size but 0
        pairs = itertools.zip_longest(shape, expected, fillvalue=-1)
        if any(size != wanted if wanted else size < 1 for size, wanted in pairs):
            wanted = tuple(size or "any" for size in expected)
            raise ValueError(f"{name} has shape {shape}, expected {wanted}.")
    for name in NUMBERS:
        _check_finite(estimator, name, getattr(estimator, name, ()))


def _check_finite(estimator: Any, name: str, value: Any) -> None:
    """Raise a ValueError for NaN and infinity in arrays, or in a dict or list."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            half, _, _ = str(key).partition(".")
            # a user's own network may well have infinity in a mask
            if not (half in NETWORKS and callable(getattr(estimator, half, None))):
                _check_finite(estimator, f"{name}.{key}", part)
    elif not np.isfinite(value).all():
        raise ValueError(f"{name} has NaN or infinity.")


def _shapes(estimator: Any) -> Shapes:
    """Yield names, arrays, and the shapes they must have to go together."""
    if isinstance(estimator, skhyper.HyperbolicKMeans):
        centers = estimator.cluster_centers_
        yield "cluster_centers_", centers, (0, estimator.n_features_in_)
        yield "_mass", estimator._mass, (len(centers),)
    if isinstance(estimator, skhyper.HyperbolicLogisticRegression):
        coef = estimator.coef_
        yield "coef_", coef, (0, estimator.n_features_in_)
        yield "intercept_", estimator.intercept_, (len(coef),)
    if isinstance(estimator, BaseCoder):
        yield from _coder_shapes(estimator)
    if isinstance(estimator, NodeEstimator):
        yield from _node_shapes(estimator)
    if isinstance(estimator, skhyper.CodeIndex):
        shape = len(estimator.ids_), len(estimator.codebook_sizes_)
        yield "codes_", estimator.codes_, shape
    if isinstance(estimator, skhyper.SASRecRecommender):
        yield from _attention_shapes(estimator)
    elif isinstance(estimator, skhyper.GenerativeRecommender):
        yield from _history_shapes(estimator)
    elif isinstance(estimator, CodeEstimator):
        yield from _transformer_shapes(estimator)
    if isinstance(estimator, CountingRecommender):
        yield from _counted_shapes(estimator)


def _coder_shapes(estimator: Any) -> Shapes:
    n_features, books = estimator.n_features_in_, estimator.codebooks_
    lorentz = getattr(estimator, "input_geometry", None) == "lorentz"
    width = getattr(estimator, "latent_dim", n_features - lorentz)
    yield "codebook_usage_", estimator.codebook_usage_, (len(books),)
    for level, codes in enumerate(books):
        yield f"codebooks_[{level}]", codes, (0, width)
        for name in ("_masses", "gains_"):
            if hasattr(estimator, name):
                yield f"{name}[{level}]", getattr(estimator, name)[level], (len(codes),)
    if hasattr(estimator, "latent_dim"):
        yield from _network_shapes(estimator, width)


def _network_shapes(estimator: Any, width: int) -> Shapes:
    weights, shape = estimator.weights_, estimator._input_shape
    n_features, books = estimator.n_features_in_, estimator.codebooks_
    grid = grid_shape(shape)
    yield "offset_", estimator.offset_, (n_features,)
    yield "shift", weights["shift"], (width,)
    yield "scale", weights["scale"], ()
    # shapes alone, which no file can make large
    codes = np.broadcast_to(0, estimator.codes_shape_)
    yield "codes", codes, (len(books), *grid)
    soft = isinstance(estimator, skhyper.SoftVQTokenizer)
    outputs = width + soft * len(books[0])
    size = n_features
    if shape is not None:
        yield "a row", np.broadcast_to(0, math.prod(shape)), (n_features,)
        size = shape[0]
    yield from _layer_shapes(estimator, "encoder", size, outputs, len(grid))
    yield from _layer_shapes(estimator, "decoder", width, size, len(grid))
    if isinstance(estimator, skhyper.HyperVQClassifier):
        n_classes, n_read = len(estimator.classes_), math.prod(grid) * width
        yield "head.weight", weights["head.weight"], (n_classes, n_read)
        yield "head.bias", weights["head.bias"], (n_classes,)


def _node_shapes(estimator: Any) -> Shapes:
    n_nodes, width = len(estimator.classes_), estimator.embedding_.shape[1]
    yield "embedding_", estimator.embedding_, (n_nodes, 0)
    if isinstance(estimator, skhyper.HierarchyTokenizer):
        books = estimator.codebooks_
        yield "codes_", estimator.codes_, (n_nodes, len(books))
        yield "codebook_usage_", estimator.codebook_usage_, (len(books),)
        for level, codes in enumerate(books):
            yield f"codebooks_[{level}]", codes, (0, width)


def _transformer_shapes(estimator: Any) -> Shapes:
    weights, wide = estimator.weights_, estimator._shape["width"]
    sizes = estimator.codebook_sizes_
    n_columns = len(sizes)
    if isinstance(estimator, skhyper.GenerativeRetriever):
        n_features = estimator.n_features_in_
        query_sizes = estimator.query_codebook_sizes_
        yield "query_codebook_sizes_", query_sizes, (n_features,)
        yield "catalogue_", estimator.catalogue_, (0, n_columns)
        yield "source_columns", weights["source_columns"], (n_features, wide)
    else:
        n_columns = estimator.n_features_in_
    yield "columns", weights["columns"], (n_columns, wide)
    for level, size in enumerate(sizes):
        name = f"outputs.{level}.weight"
        yield name, weights[name], (int(size), wide)


def _history_shapes(estimator: Any) -> Shapes:
    weights, shape = estimator.weights_, estimator._shape
    sizes, wide = estimator.codebook_sizes_, shape["width"]
    n_tokens = int(sizes.sum())
    yield "codes_", estimator.codes_, (0, len(sizes))
    yield "items_", estimator.items_, (len(estimator.codes_),)
    yield "columns", weights["columns"], (len(sizes), wide)
    yield "source_columns", weights["source_columns"], (1, wide)
    yield "tokens.weight", weights["tokens.weight"], (n_tokens, wide)
    yield "often", weights["often"], (n_tokens,)
    distances = (2, shape["n_heads"], estimator._max_history)
    yield "recency", weights["recency"], distances
    if shape["prefixes"]:
        trie = CodeTrie(estimator.codes_)
        n_prefixes = sum(map(len, trie.tokens))
        yield "prefixes.weight", weights["prefixes.weight"], (n_prefixes, wide)


def _attention_shapes(estimator: Any) -> Shapes:
    weights, shape = estimator.weights_, estimator._shape
    n_items, wide = len(estimator.items_), shape["width"]
    yield "tokens.weight", weights["tokens.weight"], (n_items, wide)
    yield "columns", weights["columns"], (shape["max_history"] + 1, wide)


def _counted_shapes(estimator: Any) -> Shapes:
    n_items = len(estimator.items_)
    if hasattr(estimator, "counts_"):
        yield "counts_", estimator.counts_, (n_items,)
    if hasattr(estimator, "transitions_"):
        rows = estimator.transitions_
        yield "transitions_", rows, (len(rows), 3)
    if hasattr(estimator, "neighbors_"):
        yield "neighbors_", estimator.neighbors_, (n_items, 0)
        yield "similarities_", estimator.similarities_, estimator.neighbors_.shape


def _layer_shapes(
    estimator: Any, half: str, n_in: int, n_out: int, n_sides: int
) -> Shapes:
    """Yield the layers of one half of the network: each takes what the last gives."""
    if callable(getattr(estimator, half)):
        return  # a user's own, which may have any
    size, weights = n_in, estimator.weights_
    found = [name for name in weights if name.startswith(f"{half}.")]
    names = _layer_names(half, max(1, -(-len(found) // 2)), n_sides)
    for name in names:
        array, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        _, _, *window = np.shape(array)
        # transposed convolutions have their inputs first
        if half == "decoder" and window[:1] == [WINDOW]:
            array = np.swapaxes(array, 0, 1)
        sides = [window[0] if window else 0] * n_sides
        yield f"{name}.weight", array, (0, size, *sides)
        yield f"{name}.bias", bias, (size := len(array),)
    yield f"the last layer of the {half}", np.broadcast_to(0, size), (n_out,)
    yield f"the list of weights of the {half}", found, (2 * len(names),)


def _layer_names(half: str, n_layers: int, n_sides: int) -> list[str]:
    """Return the names of the layers with weights, from the first to the last."""
    if not n_sides:
        return [f"{half}.{2 * i}" for i in range(n_layers)]
    end, decoder = 2 * N_STRIDES[n_sides], half == "decoder"
    first = 1 if decoder else end - 1
    blocks = [f"{i}.layers.{j}" for i in (first, first + 1) for j in (1, 3)]
    back, forth = [0, *blocks, *range(4, end + 4, 2)], [*range(0, end, 2), *blocks]
    return [f"{half}.layers.{at}" for at in (back if decoder else [*forth, end + 2])]
