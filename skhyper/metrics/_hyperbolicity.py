"""How far distances are from those of a tree: Gromov's four-point delta."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_random_state, gen_batches

from skhyper.manifolds import Euclidean, Lorentz, PoincareBall

FloatArray = NDArray[np.float64]

# numbers that one step works on: few enough to stay in a processor's cache
BLOCK_SIZE = 2**16


def delta_hyperbolicity(
    X: ArrayLike,
    *,
    metric: str | Euclidean | PoincareBall | Lorentz = "euclidean",
    relative: bool = True,
    n_base_points: int | None = None,
    sample_size: int | None = None,
    n_repeats: int = 10,
    random_state: Any = None,
) -> float | FloatArray:
    """Measure by Gromov's delta how far distances are from those of a tree.

    Four points can be split into two pairs in three ways, and each way has a sum of
    the distances within its pairs. In a tree the two largest of these sums are equal.
    Delta is half their difference, at its largest over all choices of four points: 0
    for the nodes of a tree, and at most half the diameter.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features) or (n_samples, n_samples)
        The points, or with ``metric="precomputed"`` their distances. The triangle
        inequality is taken on trust.
    metric : "euclidean", "precomputed" or a manifold, default="euclidean"
        A manifold, such as ``PoincareBall(c=1.0)``, gives its geodesic distances; on
        the ball and the Lorentz sheet `X` is in their coordinates.
    relative : bool, default=True
        Return ``2 * delta / diameter``, from 0 for a tree to 1, whatever the scale of
        the distances [1]_. It is 0 where all points are equal.
    n_base_points : int, default=None
        None looks at all choices of four points. With a number only those are looked
        at that hold one of so many points drawn at random. The result is then at
        least half of the whole delta and at most the whole [2]_. A single one is what
        [1]_ reports.
    sample_size : int, default=None
        Number of rows, drawn without repetition, to look at. None takes all rows.
    n_repeats : int, default=10
        How often such a sample is drawn.
    random_state : int, RandomState instance or None, default=None
        Draws samples and base points.

    Returns
    -------
    float or ndarray of shape (n_repeats,)
        One number; with `sample_size` one for each sample, over its own diameter. The
        delta of a sample is never above that of all rows, the relative one may be.

    Raises
    ------
    ValueError
        If `X` is not finite, does not lie on the manifold or is no matrix of
        distances, or another parameter is out of its range.

    See Also
    --------
    skhyper.manifolds.PoincareBall.pairwise_dist : Distances in the ball.

    Notes
    -----
    What is compared is the (max, min) product of the Gromov products
    ``(x|y)_w = (d(x, w) + d(y, w) - d(x, y)) / 2`` at a base point w with these
    themselves [2]_. A pair ``x, y`` is passed over if the largest product of x and
    that of y already show that it cannot raise the result.

    Memory grows as ``n_samples ** 2``, to 70 MB for 1500 rows. A base point takes at
    most a time of order ``n_samples ** 3``, all of them ``n_samples ** 4``, and much
    less where delta is far from 0. On one core a base point of 1500 rows took 0.1 to
    2 seconds. All base points took 0.1 to 1.3 seconds for 300 rows; for 1000 rows 2
    seconds (Gaussian), 17 (text embeddings) or 50 (noisy tree), but minutes for the
    nodes of an exact tree. For more rows give `sample_size` or `n_base_points`.

    Hyperbolic space of curvature ``-c`` has delta ``log(2) / sqrt(c)`` [3]_. A small
    delta is no proof of a hierarchy: it is small also where all distances are about
    equal, as in a star, and noise in many dimensions is like that. 200 Gaussian rows of
    384 features have a relative delta of 0.2. And being a worst case, delta depends on
    outliers and on the number of rows.

    References
    ----------
    .. [1] V. Khrulkov, L. Mirvakhabova, E. Ustinova, I. Oseledets, V. Lempitsky,
       "Hyperbolic Image Embeddings", CVPR 2020.
    .. [2] H. Fournier, A. Ismail, A. Vigneron, "Computing the Gromov hyperbolicity of
       a discrete metric space", Information Processing Letters 115, 2015.
    .. [3] B. Nica, J. Spakula, "Strong hyperbolicity", Groups, Geometry, and Dynamics
       10, 2016, Corollary 5.4.

    Examples
    --------
    >>> from skhyper.datasets import load_naics
    >>> from skhyper.metrics import delta_hyperbolicity
    >>> square = [[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]]
    >>> delta_hyperbolicity(square, metric="precomputed", relative=False)
    1.0
    >>> star = [[0, 2, 2, 2], [2, 0, 2, 2], [2, 2, 0, 2], [2, 2, 2, 0]]
    >>> delta_hyperbolicity(star, metric="precomputed")
    0.0
    >>> X = load_naics().data
    >>> deltas = delta_hyperbolicity(X, sample_size=200, random_state=0)
    >>> deltas.shape, round(float(deltas.mean()), 1)
    ((10,), 0.3)
    """
    x = _check_points(X, metric)
    rng = check_random_state(random_state)
    _check_count("n_base_points", n_base_points, len(x))
    _check_count("sample_size", sample_size, len(x))
    _check_count("n_repeats", n_repeats)
    if sample_size is None:
        return _measure(_distances(x, metric), n_base_points, relative, rng)
    samples = [rng.permutation(len(x))[:sample_size] for _ in range(n_repeats)]
    return np.array(
        [
            _measure(_distances(x, metric, rows), n_base_points, relative, rng)
            for rows in samples
        ]
    )


def _measure(
    D: FloatArray,
    n_base_points: int | None,
    relative: bool,
    rng: np.random.RandomState,
) -> float:
    """Delta of a matrix of distances, from all base points or from some."""
    if n_base_points is not None:
        # the base points first
        order = rng.permutation(len(D))
        D = D[np.ix_(order, order)]
    best = 0.0
    # Four points have one delta, whichever is the base: once a point has been the
    # base it can go. The last three have no fourth.
    for w in range(min(len(D) - 3, n_base_points or len(D))):
        best = _raise_at_base(D[w:, w:], best)
    diameter = D.max()
    if not relative or diameter == 0:
        return best
    return float(2 * best / diameter)


def _raise_at_base(D: FloatArray, best: float) -> float:
    """Return `best`, or the delta with point 0 as the base if that is larger."""
    product = (D[:, :1] + D[0] - D) / 2
    # With x or y itself as the third point nothing is gained.
    np.fill_diagonal(product, -np.inf)
    largest = product.max(axis=1)
    bound = np.minimum.outer(largest, largest) - product
    pairs = np.flatnonzero(np.triu(bound > best, k=1))
    bound = bound.ravel()[pairs]
    # The most promising pairs first, so that the rest can soon be passed over.
    order = np.argsort(-bound)
    step = max(1, BLOCK_SIZE // len(D))
    for at in range(0, len(order), step):
        block = order[at : at + step]
        if bound[block[0]] <= best:
            break
        x, y = np.divmod(pairs[block], len(D))
        through = product[x]
        np.minimum(through, product[y], out=through)
        best = max(best, float((through.max(axis=1) - product[x, y]).max()))
    return best


def _distances(X: FloatArray, metric: Any, rows: Any = slice(None)) -> FloatArray:
    """Distances among `rows` of `X`."""
    if isinstance(metric, str) and metric == "precomputed":
        return X[rows][:, rows]
    space = Euclidean() if isinstance(metric, str) else metric
    X = X[rows]
    # Lorentz holds the differences of all pairs of a block at once.
    blocks = gen_batches(len(X), max(8, 2**20 // X.size))
    return np.concatenate([space.pairwise_dist(X[block], X) for block in blocks])


def _check_points(X: ArrayLike, metric: Any) -> FloatArray:
    """Return `X` in float64, or raise a ValueError if `metric` cannot measure it."""
    x: FloatArray = check_array(X, dtype=np.float64, input_name="X")
    if isinstance(metric, Euclidean | PoincareBall | Lorentz):
        metric.check_points(x, "X")
    elif not isinstance(metric, str) or metric not in ("euclidean", "precomputed"):
        raise ValueError(
            f"metric={metric!r} must be 'euclidean', 'precomputed', or a manifold such "
            "as PoincareBall(c=1.0). Give other distances as a matrix, with "
            "metric='precomputed'."
        )
    elif metric == "precomputed":
        _check_distances(x)
    return x


def _check_distances(D: FloatArray) -> None:
    """Raise a ValueError unless `D` can be a matrix of distances."""
    if D.shape[0] != D.shape[1]:
        raise ValueError(
            "metric='precomputed' takes a square matrix of distances, got X of shape "
            f"{D.shape}. For points use metric='euclidean'."
        )
    slack = 1e-8 * np.abs(D).max()
    if D.min() < -slack or np.diag(D).max() > slack or np.abs(D - D.T).max() > slack:
        raise ValueError(
            "X is no matrix of distances: with metric='precomputed' it must be "
            "symmetric, with zeros on the diagonal and no number below 0."
        )


def _check_count(name: str, value: Any, most: int | None = None) -> None:
    """Raise a ValueError unless `value` counts rows, or is None where it may be."""
    if value is None and most is not None:
        return
    limit = "of at least 1" if most is None else f"from 1 to {most}, or None"
    if not isinstance(value, Integral) or not 1 <= int(value) <= (most or int(value)):
        raise ValueError(f"{name}={value!r} must be an integer {limit}.")
