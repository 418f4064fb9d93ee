"""Time of encoding with four levels of 256 codes, beside faiss, in one run.

    python benchmarks/encode.py [--rows 400000] [--repeats 5] [--threads 2]

400,000 x 32 float32 rows are encoded by

* `HyperbolicResidualQuantizer.transform` and its flat twin `ResidualQuantizer`,
* faiss's ResidualQuantizer with beam 1,
* a chain of four faiss `IndexFlatL2` searches with the residual subtracted between:
  the fast path for flat codes,
* the four bare float32 matrix products, blocked and threaded as the encoders are: what
  no encoder that compares every code can go below.

Everybody gets the same number of threads. The commands run in turn, `repeats` times;
the table gives the median and the ratio to the flat-index chain, taken run by run. The
last column is how much the resident memory of a process of its own grows while it
encodes, beyond the rows and their codes (Linux only).
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from skhyper import HyperbolicResidualQuantizer, ResidualQuantizer

N_FEATURES, N_LEVELS, CODEBOOK_SIZE = 32, 4, 256
N_TRAIN, BLOCK = 20_000, 1024
CHAIN = "faiss IndexFlatL2 chain"


def make_data(n_rows: int) -> np.ndarray:
    """Clusters of clusters, so that every level has something to find."""
    rng = np.random.RandomState(0)
    X = np.zeros((n_rows, N_FEATURES))
    for size, scale in ((20, 1.0), (400, 0.5), (8000, 0.25)):
        X += scale * rng.randn(size, N_FEATURES)[rng.randint(size, size=n_rows)]
    return (X + 0.1 * rng.randn(n_rows, N_FEATURES)).astype(np.float32)


def faiss_residual_quantizer(train: np.ndarray):
    quantizer = faiss.ResidualQuantizer(N_FEATURES, N_LEVELS, 8)
    quantizer.train_type = faiss.ResidualQuantizer.Train_default
    quantizer.max_beam_size = 1
    quantizer.train(train)
    return quantizer.compute_codes


def faiss_flat_chain(codebooks: list[np.ndarray]):
    indexes = []
    for codebook in codebooks:
        index = faiss.IndexFlatL2(N_FEATURES)
        index.add(codebook)
        indexes.append(index)

    def encode(X: np.ndarray) -> np.ndarray:
        codes, rest = np.empty((len(X), N_LEVELS), dtype=np.int64), X
        for level, (index, codebook) in enumerate(zip(indexes, codebooks, strict=True)):
            codes[:, level] = index.search(rest, 1)[1][:, 0]
            rest = rest - codebook[codes[:, level]]
        return codes

    return encode


def bare_products(codebooks: list[np.ndarray], threads: int):
    tables = [np.ascontiguousarray(codebook.T) for codebook in codebooks]

    def encode(X: np.ndarray) -> None:
        def work(start: int) -> None:
            for table in tables:
                X[start : start + BLOCK] @ table

        with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, len(X), BLOCK)))

    return encode


def make_encoders(flat, ball, train: np.ndarray, threads: int) -> dict:
    faiss.omp_set_num_threads(threads)
    codebooks = [codebook.astype(np.float32) for codebook in flat.codebooks_]
    return {
        "HyperbolicResidualQuantizer": ball.transform,
        "ResidualQuantizer": flat.transform,
        "faiss ResidualQuantizer, beam 1": faiss_residual_quantizer(train),
        CHAIN: faiss_flat_chain(codebooks),
        "bare matrix products": bare_products(codebooks, threads),
    }


def seconds(encode, X: np.ndarray) -> float:
    start = time.perf_counter()
    encode(X)
    return time.perf_counter() - start


def resident(field: str) -> float:
    """Megabytes of this process: "VmRSS" now, or "VmHWM" at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    raise LookupError(field)


def memory_growth(name: str, flat, ball, n_rows: int, threads: int) -> float:
    """Megabytes that encoding takes beyond its input and output, at the peak."""
    X = make_data(n_rows)
    encode = make_encoders(flat, ball, X[:N_TRAIN], threads)[name]
    with threadpool_limits(threads):
        encode(X[:100])
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = resident("VmRSS")
        codes = encode(X)
    output = 0 if codes is None else codes.nbytes / 1e6
    return max(0.0, resident("VmHWM") - before - output)


def memory_growths(names, *arguments) -> dict[str, float]:
    """Return the growth for each encoder, each in a fresh process."""
    if not Path("/proc/self/clear_refs").exists():
        return dict.fromkeys(names, float("nan"))
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, maxtasksperchild=1) as pool:
        return {name: pool.apply(memory_growth, (name, *arguments)) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    X = make_data(options.rows)
    train = X[:N_TRAIN]
    shape = (N_LEVELS, CODEBOOK_SIZE)
    with threadpool_limits(options.threads):
        flat = ResidualQuantizer(*shape, n_init=1, random_state=0).fit(train)
        ball = HyperbolicResidualQuantizer(*shape, n_init=1, random_state=0).fit(train)
        encoders = make_encoders(flat, ball, train, options.threads)
        times: dict[str, list[float]] = {name: [] for name in encoders}
        for encode in encoders.values():
            encode(train)
        for _ in range(options.repeats):
            for name, encode in encoders.items():
                times[name].append(seconds(encode, X))
    growth = memory_growths(encoders, flat, ball, options.rows, options.threads)

    print(
        f"{options.rows} x {N_FEATURES} float32, {N_LEVELS} levels of {CODEBOOK_SIZE}, "
        f"{options.threads} threads, median (min to max) of {options.repeats} runs\n"
    )
    print(f"{'':34}{'seconds':>24}{'ratio to the flat chain':>26}{'MB':>8}")
    for name, values in times.items():
        ratio = median(a / b for a, b in zip(values, times[CHAIN], strict=True))
        spread = f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"{name:34}{spread:>24}{ratio:>26.2f}{growth[name]:>8.0f}")


if __name__ == "__main__":
    main()
