"""The joint refit of all codebooks, beside faiss's, in one run.

    python benchmarks/refit.py [--seeds 5] [--threads 2]

Three levels of 256 codes, encoded with a beam of 5, are fitted to centred float32 rows
by

* `ResidualQuantizer` with and without ``refit=True``,
* faiss's ResidualQuantizer, trained with and without its refinement of the codebooks
  (``Train_refine_codebook``).

The table gives the error of each prefix as a share of the variance, the rows that share
their whole code with another and the seconds of training and encoding, all on the
training rows, as mean and standard deviation over seeds; then the ratio of the whole
code's mean error to that of faiss with refinement.

Data: the NAICS industries (bundled) and, if the environment variable SKHYPER_DATA names
a folder that holds them, the item embeddings of Amazon Beauty 2014
(``amazon2014/beauty/minilm_title_384_f16.npy``).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from skhyper import ResidualQuantizer, metrics
from skhyper.datasets import load_naics

N_LEVELS, N_BITS, BEAM_SIZE = 3, 8, 5

Run = tuple[np.ndarray, list[np.ndarray]]


def data_sets() -> Iterator[tuple[str, np.ndarray]]:
    yield "NAICS", load_naics().data
    folder = os.environ.get("SKHYPER_DATA")
    if folder is None:
        print("SKHYPER_DATA is not set: Beauty is left out")
        return
    yield (
        "Beauty",
        np.load(Path(folder) / "amazon2014" / "beauty" / "minilm_title_384_f16.npy"),
    )


def ours(X: np.ndarray, seed: int, refit: bool) -> Run:
    """Return the codes, and the reconstruction of every prefix."""
    model = ResidualQuantizer(
        N_LEVELS, 2**N_BITS, beam_size=BEAM_SIZE, refit=refit, random_state=seed
    )
    codes = model.fit_transform(X)
    prefixes = [codes[:, : m + 1] for m in range(N_LEVELS)]
    return codes, [model.inverse_transform(prefix) for prefix in prefixes]


def theirs(X: np.ndarray, seed: int, refit: bool) -> Run:
    model = faiss.ResidualQuantizer(X.shape[1], N_LEVELS, N_BITS)
    model.max_beam_size = BEAM_SIZE
    model.cp.seed = seed
    model.train_type = faiss.ResidualQuantizer.Train_default
    if refit:
        model.train_type |= faiss.ResidualQuantizer.Train_refine_codebook
    model.train(X)
    # a code of 8 bits is one byte
    codes = model.compute_codes(X).astype(np.int64)
    codebooks = faiss.vector_to_array(model.codebooks)
    codebooks = codebooks.reshape(N_LEVELS, 2**N_BITS, X.shape[1])
    parts = [book[column] for book, column in zip(codebooks, codes.T, strict=True)]
    return codes, list(np.cumsum(parts, axis=0))


METHODS = {
    "skhyper, refit": (ours, True),
    "faiss, refined": (theirs, True),
    "skhyper": (ours, False),
    "faiss": (theirs, False),
}


def figures(X: np.ndarray, method: str, seed: int) -> list[float]:
    run, refit = METHODS[method]
    start = time.perf_counter()
    codes, prefixes = run(X, seed, refit)
    seconds = time.perf_counter() - start
    errors = [metrics.relative_distortion(X, X_hat) for X_hat in prefixes]
    return [*errors, 100 * metrics.collision_rate(codes)[-1], seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    for name, rows in data_sets():
        X = rows.astype(np.float32)
        X -= X.mean(axis=0)
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {options.seeds} seeds")
        titles = [*(f"error, {m + 1}" for m in range(N_LEVELS)), "collisions %"]
        titles += ["seconds", "ratio"]
        print(f"{'':16}" + "".join(f"{title:>18}" for title in titles))
        with threadpool_limits(options.threads):
            runs = {
                method: np.array(
                    [figures(X, method, seed) for seed in range(options.seeds)]
                )
                for method in METHODS
            }
        reference = runs["faiss, refined"][:, N_LEVELS - 1].mean()
        for method, values in runs.items():
            cells = [
                f"{column.mean():.{d}f} +- {column.std():.{d}f}"
                for column, d in zip(values.T, (4, 4, 4, 2, 1), strict=True)
            ]
            ratio = values[:, N_LEVELS - 1].mean() / reference
            cells.append(f"{ratio:.3f}")
            print(f"{method:16}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
