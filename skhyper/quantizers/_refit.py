"""Re-solve all codebooks together, given the codes, where levels add up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array

from skhyper.quantizers._stack import ResidualStack

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_ROUNDS = 20
STOP_BELOW = 1e-4


def refit_codebooks(
    stack: ResidualStack, Z: FloatArray, weight: FloatArray, beam_size: int
) -> list[FloatArray]:
    """Alternate a least-squares solution and a new encoding while the error falls.

    The error is summed over *all* prefixes. Solving for the whole code alone lets the
    levels trade their means, which ruins every prefix.

    Parameters
    ----------
    stack : ResidualStack
        A flat stack, or one with tangent residuals.
    Z : array of shape (n_samples, n_features)
        Points.
    weight : array of shape (n_samples,)
        Their weights.
    beam_size : int
        How to encode.

    Returns
    -------
    list of arrays
        The codebooks with the lowest error met.
    """
    manifold = stack.manifold
    target = manifold.logmap0(Z)
    tangents = [manifold.logmap0(codebook) for codebook in stack.codebooks]
    codes = stack.encode(Z, beam_size)
    best, lowest = stack.codebooks, _prefix_error(target, tangents, codes, weight)
    for _ in range(MAX_ROUNDS):
        tangents = _solve(target, tangents, codes, weight)
        refitted = stack.with_codebooks([manifold.expmap0(t) for t in tangents])
        codes = refitted.encode(Z, beam_size)
        error = _prefix_error(target, tangents, codes, weight)
        if not error < lowest:
            break
        settled = lowest - error < STOP_BELOW * lowest
        best, lowest = refitted.codebooks, error
        if settled:
            break
    return best


def _prefix_error(
    target: FloatArray, tangents: list[FloatArray], codes: IntArray, weight: FloatArray
) -> float:
    error, rest = 0.0, target
    for tangent, column in zip(tangents, codes.T, strict=True):
        rest = rest - tangent[column]
        error += float(weight @ np.sum(rest * rest, axis=1))
    return error


def _solve(
    target: FloatArray, tangents: list[FloatArray], codes: IntArray, weight: FloatArray
) -> list[FloatArray]:
    """Return the codebooks that minimise the summed error of all prefixes.

    Level l takes part in the prefixes l, ..., L, so the normal equations hold the
    co-occurrence counts of levels l and k times ``L - max(l, k)``. A trace of ridge
    towards the current codes keeps those that no row uses.
    """
    n_levels, sizes = len(tangents), [len(t) for t in tangents]
    offsets = np.cumsum([0, *sizes])
    level = np.repeat(np.arange(n_levels), sizes)
    onehot = _onehot(codes + offsets[:-1], int(offsets[-1]))
    weighted = onehot.multiply(weight[:, None]).tocsr()
    shared = n_levels - np.maximum(level[:, None], level)
    gram = (onehot.T @ weighted).toarray() * shared
    moments = (weighted.T @ target) * (n_levels - level)[:, None]
    current = np.vstack(tangents)
    ridge = 1e-9 * float(np.trace(gram)) / len(gram)
    gram_ridge = gram + ridge * np.eye(len(gram))
    step = solve(gram_ridge, moments - gram @ current, assume_a="pos")
    return np.split(current + step, offsets[1:-1])


def _onehot(columns: IntArray, n_columns: int) -> Any:
    n, n_levels = columns.shape
    return csr_array(
        (np.ones(n * n_levels), columns.ravel(), np.arange(n + 1) * n_levels),
        shape=(n, n_columns),
    )
