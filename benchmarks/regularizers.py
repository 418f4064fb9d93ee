"""Soft VQ as a regularizer of an autoencoder, after Wu & Flierl (2020), Section 4.

    python benchmarks/regularizers.py [--methods "soft VQ" AE ...] [--seeds 5]
                                      [--epochs 13] [--tune]
                                      [--results regularizers.jsonl]

The protocol: train on images without their labels, cluster the latents by k-means into
10, match clusters to digits, and take the accuracy. A linear probe of the same latents,
trained on a half of the images and tested on the other, and the reconstruction error
stand beside it. The images are the 10,000 of MNIST's test set (see ``data.py``). The
paper's notebook trains on 60,000, in whose place copies stand here that are shifted by
a pixel, up, down, left and right; clusters and probe are of the 10,000 themselves.

`SoftVQTokenizer` (flat, with both of its posteriors, and in the ball), `VQVAETokenizer`
and `HyperVQTokenizer` meet a plain autoencoder, a VAE and information dropout, which
are small loops of torch below. All have the paper's network, batches and learning rate,
and a quarter of its steps. The weight and the size of each are the best of
seed 100 (``--tune``) from a grid of the same length, after 12 epochs of a smaller
network; the seeds of the table are others.

Each fit is appended to the results file, and fits that it holds are not repeated.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import load_mnist
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, normalized_mutual_info_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skhyper._nn._layers import start_evenly
from skhyper.tokenizers import HyperVQTokenizer, SoftVQTokenizer, VQVAETokenizer

HIDDEN, LATENT = (500, 500, 2000), 64
BATCH, RATE = 64, 3e-4
WARM_UP = 0.1  # the share of training in which noise comes to its full cost
FIGURES = ("accuracy", "nmi", "probe", "error", "seconds")
TUNING_SEED = 100


class Twin(nn.Module):
    """Autoencoder whose latents may be noisy: "AE", "VAE" or "information dropout"."""

    def __init__(self, kind: str, weight: float, n_features: int) -> None:
        super().__init__()
        self.kind, self.weight = kind, weight
        n_out = LATENT if kind == "AE" else 2 * LATENT
        self.encoder = layers(n_features, *HIDDEN, n_out)
        self.decoder = layers(LATENT, *HIDDEN[::-1], n_features)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the latents without their noise."""
        return self.encoder(x)[:, :LATENT]

    def losses(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction error, and the weighted cost of the noise."""
        out = self.encoder(x)
        z, head = out[:, :LATENT], out[:, LATENT:]
        cost = z.new_zeros(())
        if self.kind == "VAE":
            # the evidence bound per feature, at a noise of the data of `weight`
            square = torch.mean(torch.sum(z**2 + head.exp() - 1 - head, dim=1))
            cost = self.weight * 0.5 * square / x.shape[1]
            z = z + torch.exp(0.5 * head) * torch.randn_like(z)
        elif self.kind == "information dropout":
            share = torch.sigmoid(head)
            cost = -self.weight * torch.mean(torch.log(share + 1e-3))
            z = z * torch.exp(0.7 * share * torch.randn_like(z))
        return torch.mean((x - self.decoder(z)) ** 2), cost


def layers(*widths: int) -> nn.Sequential:
    pairs = itertools.pairwise(widths)
    parts = [part for n, m in pairs for part in (nn.Linear(n, m), nn.ReLU())]
    return nn.Sequential(*parts[:-1])


def fit_twin(
    kind: str, weight: float, X: np.ndarray, seed: int, epochs: int
) -> tuple[np.ndarray, float]:
    """Train a twin as the tokenizers train; return latents and error."""
    torch.manual_seed(seed)
    X = X - X.mean(axis=0)
    x = torch.from_numpy(X / np.sqrt(np.mean(X**2)))
    model = Twin(kind, weight, x.shape[1])
    lowest, best = np.inf, {}
    start_evenly(model)  # as the tokenizer of soft codes does, whose pull grows, too
    n_batches = -(-len(x) // BATCH)
    n_growing, n_done = WARM_UP * epochs * n_batches, 0
    adamw = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0, fused=True)
    for _ in range(epochs):
        total = 0.0
        for rows in torch.tensor_split(torch.randperm(len(x)), n_batches):
            error, cost = model.losses(x[rows])
            n_done += 1
            adamw.zero_grad()
            (error + min(1.0, n_done / n_growing) * cost).backward()
            adamw.step()
            total += float(error.detach()) * len(rows) / len(x)
        if total < lowest:
            lowest, best = total, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    with torch.inference_mode():
        return model.embed(x).numpy(), lowest


def fit_tokenizer(
    cls: type, X: np.ndarray, seed: int, epochs: int, **given: Any
) -> tuple[np.ndarray, float]:
    """Train a tokenizer; return latents and error."""
    tokenizer = cls(
        latent_dim=LATENT,
        hidden_layer_sizes=HIDDEN,
        max_iter=epochs,
        n_iter_no_change=epochs,
        batch_size=BATCH,
        learning_rate=RATE,
        random_state=seed,
        device="cpu",
        **given,
    )
    tokenizer.fit(X)
    return tokenizer.embed(X), min(tokenizer.error_curve_)


def twin(kind: str) -> Callable:
    return lambda X, seed, epochs, weight=0.0: fit_twin(kind, weight, X, seed, epochs)


def tokenizer(cls: type, **fixed: Any) -> Callable:
    return lambda *data, **given: fit_tokenizer(cls, *data, **fixed, **given)


def grid(**values: tuple) -> list[dict]:
    return [
        dict(zip(values, point, strict=True))
        for point in itertools.product(*values.values())
    ]


CODES = grid(codebook_size=(32, 128), commitment_weight=(2.5, 10.0))

# how to fit, what was tried on the tuning seed, and which of it was best
METHODS: dict[str, tuple[Callable, list[dict], int]] = {
    "AE": (twin("AE"), [{}], 0),
    "VAE": (twin("VAE"), grid(weight=(1.0, 5.0, 20.0, 60.0)), 2),
    "information dropout": (
        twin("information dropout"),
        grid(weight=(0.02, 0.1, 0.5, 2.0)),
        1,
    ),
    "hard VQ": (tokenizer(VQVAETokenizer), CODES, 2),
    "HyperVQ": (
        tokenizer(HyperVQTokenizer),
        grid(codebook_size=(32, 128), entropy_weight=(0.1, 1.0)),
        1,
    ),
    "soft VQ": (tokenizer(SoftVQTokenizer), CODES, 2),
    "soft VQ, reference": (
        tokenizer(SoftVQTokenizer, posterior="reference"),
        CODES,
        2,
    ),
    "soft VQ, ball": (tokenizer(SoftVQTokenizer, geometry="hyperbolic"), CODES, 2),
}


def with_shifts(X: np.ndarray) -> np.ndarray:
    """Return pictures, and after them their copies shifted by a pixel."""
    pictures = X.reshape(-1, 28, 28)
    moves = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    moved = [np.roll(pictures, move, axis=(1, 2)) for move in moves]
    return np.concatenate(moved).reshape(-1, X.shape[1])


def run(method: str, choice: int, seed: int, epochs: int) -> dict:
    """Fit one method, and measure its latents."""
    X, digits = load_mnist()
    fit, tried, _ = METHODS[method]
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # codes that go unused show in the figures
        latents, error = fit(with_shifts(X), seed, epochs, **tried[choice])
    seconds, latents = time.process_time() - start, latents[: len(X)]
    return {
        "method": method,
        "choice": tried[choice],
        "seed": seed,
        "epochs": epochs,
        **clustering(latents, digits, seed),
        "probe": probe(latents, digits, seed),
        "error": error,
        "seconds": seconds,
    }


def clustering(latents: np.ndarray, digits: np.ndarray, seed: int) -> dict:
    """Return accuracy, under the best matching of clusters to digits, and NMI."""
    kmeans = KMeans(10, n_init=10, random_state=seed)
    clusters = kmeans.fit_predict(latents)
    counts = confusion_matrix(digits, clusters)
    matched = counts[linear_sum_assignment(counts, maximize=True)]
    return {
        "accuracy": float(matched.sum() / counts.sum()),
        "nmi": float(normalized_mutual_info_score(digits, clusters)),
    }


def probe(latents: np.ndarray, digits: np.ndarray, seed: int) -> float:
    """Return the accuracy on one half of a linear classifier of the other."""
    train, test, y_train, y_test = train_test_split(
        latents, digits, test_size=0.5, stratify=digits, random_state=seed
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(linear.fit(train, y_train).score(test, y_test))


def print_table(records: list[dict]) -> None:
    """Print mean and standard deviation over seeds, one line a method."""
    for seeds, title in ((False, "tuning seed"), (True, "table")):
        print(f"\n{title}\n{'':72}" + "".join(f"{name:>16}" for name in FIGURES))
        by_case: dict[str, list[dict]] = defaultdict(list)
        for record in records:
            if (record["seed"] != TUNING_SEED) == seeds:
                name = f"{record['epochs']} epochs, {record['method']}"
                by_case[f"{name} {record['choice']}"].append(record)
        for name in sorted(by_case):
            cells = []
            for figure in FIGURES:
                values = np.array([record[figure] for record in by_case[name]])
                digits = 0 if figure == "seconds" else 3
                cells.append(f"{values.mean():.{digits}f} +- {values.std():.{digits}f}")
            print(f"{name:72}" + "".join(f"{cell:>16}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=13)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("regularizers.jsonl"))
    options = parser.parse_args()
    if load_mnist() is None:
        return
    torch.set_num_threads(1)
    # oneDNN's products of float32, on AMD twice as fast as MKL's with the same digits
    torch.set_float32_matmul_precision("medium")

    records = []
    if options.results.exists():
        records = [json.loads(line) for line in options.results.open()]
    done = [(r["method"], r["choice"], r["seed"], r["epochs"]) for r in records]
    if options.tune:
        todo = [
            (method, choice, TUNING_SEED)
            for method in options.methods
            for choice in range(len(METHODS[method][1]))
        ]
    else:
        todo = [
            (method, METHODS[method][2], seed)
            for seed in range(options.seeds)
            for method in options.methods
        ]
    for method, choice, seed in todo:
        if (method, METHODS[method][1][choice], seed, options.epochs) in done:
            continue
        records.append(run(method, choice, seed, options.epochs))
        with options.results.open("a") as file:
            file.write(json.dumps(records[-1]) + "\n")
    print_table(records)


if __name__ == "__main__":
    main()
