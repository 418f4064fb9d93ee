"""Time of a training epoch: what quantization adds to a bare autoencoder.

    python benchmarks/training.py [--rows 12000] [--repeats 7] [--threads 2]

One epoch over 384-dimensional float32 rows, batches of 2048, network
384-512-256-128-32 and back, three levels of 256 codes:

* the bare autoencoder (no codes),
* `RQVAETokenizer`, and the same with EMA codes,
* `HRQVAETokenizer`, and the same with each of its other parts.

The loops are the ones that `fit` runs. Epochs run in turn, `repeats` times; the table
gives the median and the ratio to the bare autoencoder, taken run by run.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from skhyper import HRQVAETokenizer, RQVAETokenizer
from skhyper._utils._rows import Rows
from skhyper.tokenizers._scale import Scale

N_FEATURES = 384
COMMON = {"batch_size": 2048, "random_state": 0}
CASES = {
    "RQVAETokenizer": RQVAETokenizer(**COMMON),
    "  codebook_update='ema'": RQVAETokenizer(**COMMON, codebook_update="ema"),
    "HRQVAETokenizer": HRQVAETokenizer(**COMMON),
    "  gradient='transport'": HRQVAETokenizer(**COMMON, gradient="transport"),
    "  codebook_update='riemannian'": HRQVAETokenizer(
        **COMMON, codebook_update="riemannian"
    ),
    "  codebook_update='ema' ": HRQVAETokenizer(**COMMON, codebook_update="ema"),
    "  assignment='balanced'": HRQVAETokenizer(**COMMON, assignment="balanced"),
    "  beam_size=5": HRQVAETokenizer(**COMMON, beam_size=5),
    "  encoder='hyperbolic'": HRQVAETokenizer(**COMMON, encoder="hyperbolic"),
}


def make_rows(n_rows: int) -> np.ndarray:
    """Clusters of clusters, in the dtype of sentence embeddings."""
    rng = np.random.RandomState(0)
    X = np.zeros((n_rows, N_FEATURES))
    for size, scale in ((20, 1.0), (400, 0.5), (4000, 0.5)):
        X += scale * rng.randn(size, N_FEATURES)[rng.randint(size, size=n_rows)]
    return X.astype(np.float32)


def trainer_of(tokenizer, X: np.ndarray):
    """Return the loop of `fit`, ready for its first epoch with codes."""
    sizes = tokenizer._check_parameters()
    tokenizer.n_features_in_ = X.shape[1]
    rows = Rows(X, np.ones(len(X)))
    scale = Scale.of(*rows)
    model = tokenizer._new_model(X.dtype, seed=0)
    trainer = tokenizer._trainer(model, scale, rows, seed=0)
    trainer.pretrain(1)
    first = Rows(X[:4000], np.ones(4000))
    model.set_codebooks(tokenizer._first_codes(model, scale, first, sizes, seed=0))
    trainer.start()
    return trainer


def seconds(epoch, number: int) -> float:
    start = time.perf_counter()
    epoch(number)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    X = make_rows(options.rows)
    bare = trainer_of(RQVAETokenizer(**COMMON), X)
    epochs = {"bare autoencoder": bare._pretraining_epoch}
    for name, tokenizer in CASES.items():
        epochs[name] = trainer_of(tokenizer, X)._epoch
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for number in range(options.repeats + 1):
        for name, epoch in epochs.items():
            taken = seconds(epoch, number)
            if number:  # the first warms up
                times[name].append(taken)

    print(
        f"{options.rows} x {N_FEATURES} float32, batches of 2048, {options.threads} "
        f"threads, median (min to max) of {options.repeats} epochs\n"
    )
    print(f"{'':32}{'seconds':>24}{'ratio to the bare one':>24}{'to RQ-VAE':>12}")
    for name, values in times.items():
        ratios = [
            median(a / b for a, b in zip(values, times[other], strict=True))
            for other in ("bare autoencoder", "RQVAETokenizer")
        ]
        spread = f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        print(f"{name:32}{spread:>24}{ratios[0]:>24.2f}{ratios[1]:>12.2f}")


if __name__ == "__main__":
    main()
