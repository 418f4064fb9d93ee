"""Tokens for the item titles of Amazon Beauty, and the time to train them.

    python benchmarks/beauty.py [--seeds 3] [--threads 2] [--part tokens race]

``tokens``: three levels of 256 codes for all 12,101 items; error, least used level,
collisions and perplexity of both tokenizers after 20 and after 100 epochs, and of both
shallow quantizers.

``race``: validation error (relative, in the input space, a fixed tenth of the items)
against seconds, beside the RQVAE of the package semantic-id (``pip install
semantic-id``) with the same widths and batches, k-means start, the weights of its last
epoch and the best of three learning rates. Given is how long our tokenizers take to
reach its final error, their validation included.

The data may not ship; ``data.py`` says where they are looked for.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from data import load_beauty

from skhyper import (
    HRQVAETokenizer,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
    RQVAETokenizer,
    metrics,
)
from skhyper.callbacks import EpochLog

SHAPE = (3, 256)
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
BATCH, EPOCHS = 256, 100


def spread(values, digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} +- {np.std(values):.{digits}f}"


def tokens(X: np.ndarray, seeds: int) -> None:
    print(f"\ntokens: {len(X)} items, 3 x 256, {seeds} seeds")
    columns = ("error", "least used %", "collisions %", "perplexity", "fit s")
    print(f"{'':40}" + "".join(f"{column:>18}" for column in columns))
    for cls, epochs in (
        (RQVAETokenizer, {"max_iter": 20}),
        (HRQVAETokenizer, {"max_iter": 20}),
        (RQVAETokenizer, {"max_iter": EPOCHS}),
        (HRQVAETokenizer, {"max_iter": EPOCHS}),
        (ResidualQuantizer, {}),
        (HyperbolicResidualQuantizer, {}),
    ):
        rows, runs = X - X.mean(axis=0), []
        for seed in range(seeds):
            start = time.perf_counter()
            tokenizer = cls(*SHAPE, random_state=seed, **epochs).fit(rows)
            seconds = time.perf_counter() - start
            codes = tokenizer.transform(rows)
            X_hat = tokenizer.inverse_transform(codes)
            runs.append(
                (
                    metrics.relative_distortion(rows, X_hat),
                    100 * tokenizer.codebook_usage_.min(),
                    100 * metrics.collision_rate(codes)[-1],
                    metrics.perplexity(codes).min(),
                    seconds,
                )
            )
        cells = [spread(column, 2) for column in zip(*runs, strict=True)]
        cells[0] = spread([run[0] for run in runs], 4)
        name = " ".join([cls.__name__, *(f"{k}={v}" for k, v in epochs.items())])
        print(f"{name:40}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def relative_error(X: np.ndarray, X_hat: np.ndarray, mean: np.ndarray) -> float:
    return float(np.sum((X - X_hat) ** 2) / np.sum((X - mean) ** 2))


def race(X: np.ndarray, seeds: int) -> None:
    order = np.random.RandomState(0).permutation(len(X))
    held_out, train = X[order[: len(X) // 10]], X[order[len(X) // 10 :]]
    mean = train.mean(axis=0)
    print(f"\nrace: {len(train)} items to train on, {len(held_out)} held out")
    for seed in range(seeds):
        target = rival_run(train, held_out, mean, seed)
        for cls in (RQVAETokenizer, HRQVAETokenizer):
            curve = our_curve(cls, train, held_out, mean, seed)
            reached = [second for second, error in curve if error <= target[1]]
            first = f"{reached[0]:.1f}" if reached else "never"
            share = f"{reached[0] / target[0]:.2f}" if reached else ""
            print(
                f"seed {seed}  {cls.__name__:18} final {min(e for _, e in curve):.4f} "
                f"after {curve[-1][0]:.1f} s; semantic-id's error after {first} s, "
                f"{share} of its time",
                flush=True,
            )


def rival_run(train, held_out, mean, seed: int) -> tuple[float, float]:
    """Return seconds and final error of the best of three learning rates."""
    from semantic_id.algorithms.rq_vae import RQVAE

    runs = []
    for learning_rate in LEARNING_RATES:
        torch.manual_seed(seed)
        np.random.seed(seed)
        rival = RQVAE(
            in_dim=train.shape[1],
            num_emb_list=[SHAPE[1]] * SHAPE[0],
            e_dim=32,
            layers=[512, 256, 128],
            kmeans_init=True,
            lr=learning_rate,
            batch_size=BATCH,
            epochs=EPOCHS,
        )
        start = time.perf_counter()
        rival.fit(train)
        seconds = time.perf_counter() - start
        codes = np.asarray(rival.encode(held_out))
        error = relative_error(held_out, np.asarray(rival.decode(codes)), mean)
        print(
            f"seed {seed}  semantic-id lr {learning_rate:g}: {error:.4f} after "
            f"{seconds:.1f} s, {len(np.unique(codes, axis=0))} codes of held-out items",
            flush=True,
        )
        runs.append((seconds, error))
    return min(runs, key=lambda run: run[1])


def our_curve(cls, train, held_out, mean, seed: int):
    """Return (seconds, validation error) of every epoch."""
    log = EpochLog()
    tokenizer = cls(
        *SHAPE,
        batch_size=BATCH,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,
        random_state=seed,
    ).set_callbacks(log)
    tokenizer.fit(train, X_val=held_out)
    # our errors are relative to the variance of the training rows
    rest = np.mean((held_out - mean) ** 2) / tokenizer.scale_**2
    return [(r["seconds"], r["validation_error"] / rest) for r in log.records]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", nargs="+", default=["tokens", "race"])
    options = parser.parse_args()
    data = load_beauty()
    if data is None:
        return
    torch.set_num_threads(options.threads)
    parts = {"tokens": tokens, "race": race}
    for part in options.part:
        parts[part](data[0], options.seeds)


if __name__ == "__main__":
    main()
