"""Time of an iteration of k-means, beside scikit-learn's KMeans, in one run.

    python benchmarks/kmeans.py [--rows 100000] [--seeds 5] [--threads 2]

`HyperbolicKMeans` and ``KMeans(algorithm="lloyd")`` take 20 iterations over 100,000 x
32 rows with 256 clusters, from the same first centers, which differ from seed to seed,
with ``tol=0``. They run in turn, on rows of the same dtype and with the same number of
threads. The table gives the time of `fit` divided by the iterations, median and range
over seeds, and the ratio to scikit-learn, taken seed by seed; then, for a curvature of
1e-10, the share of rows with another label than scikit-learn gives them.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from skhyper import HyperbolicKMeans

N_FEATURES, N_CLUSTERS, N_ITER = 32, 256, 20


def make_data(n_rows: int, seed: int) -> np.ndarray:
    """Clusters of clusters, so that iterations have something to do."""
    rng = np.random.RandomState(seed)
    X = np.zeros((n_rows, N_FEATURES))
    for size, scale in ((20, 1.0), (400, 0.5), (8000, 0.25)):
        X += scale * rng.randn(size, N_FEATURES)[rng.randint(size, size=n_rows)]
    return X + 0.1 * rng.randn(n_rows, N_FEATURES)


def estimators(init: np.ndarray) -> dict[str, KMeans | HyperbolicKMeans]:
    common = {"init": init, "max_iter": N_ITER, "tol": 0}
    return {
        "KMeans": KMeans(N_CLUSTERS, n_init=1, algorithm="lloyd", **common),
        "HyperbolicKMeans": HyperbolicKMeans(N_CLUSTERS, **common),
        "HyperbolicKMeans, flat limit": HyperbolicKMeans(
            N_CLUSTERS, curvature=1e-10, **common
        ),
    }


def seconds_per_iteration(model: KMeans | HyperbolicKMeans, X: np.ndarray) -> float:
    start = time.perf_counter()
    model.fit(X)
    return (time.perf_counter() - start) / model.n_iter_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(
        f"{options.rows} x {N_FEATURES}, {N_CLUSTERS} clusters, {N_ITER} iterations, "
        f"{options.threads} threads, median (min to max) of {options.seeds} seeds\n"
    )
    print(f"{'':10}{'':30}{'ms an iteration':>24}{'ratio':>8}{'other labels':>14}")
    for dtype in ("float64", "float32"):
        times: dict[str, list[float]] = {}
        other = []
        for seed in range(options.seeds):
            X = make_data(options.rows, seed).astype(dtype)
            rng = np.random.RandomState(seed)
            init = X[rng.choice(options.rows, N_CLUSTERS, replace=False)]
            models = estimators(init)
            with threadpool_limits(options.threads):
                for name, model in models.items():
                    spent = seconds_per_iteration(model, X)
                    times.setdefault(name, []).append(1e3 * spent)
            flat, ours = models["KMeans"], models["HyperbolicKMeans, flat limit"]
            other.append(np.mean(flat.labels_ != ours.labels_))
        for name, values in times.items():
            pairs = zip(values, times["KMeans"], strict=True)
            ratio = median(ours / theirs for ours, theirs in pairs)
            spread = f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            share = f"{median(other):.2%}" if "limit" in name else ""
            print(f"{dtype:10}{name:30}{spread:>24}{ratio:>8.2f}{share:>14}")


if __name__ == "__main__":
    main()
