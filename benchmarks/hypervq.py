"""HyperVQ beside its VQ-VAE twin: reconstruction, classes from codes, use, samples.

    python benchmarks/hypervq.py [--data mnist naics] [--parts codes classes samples]
                                 [--cases ...] [--seeds 5] [--jobs 2]
                                 [--results hypervq.jsonl]

On 10,000 pictures of MNIST (see ``data.py``) and the NAICS industries with their
sectors (bundled). Each seed draws a split into 80 % training and 20 % test rows, the
same for all, and all figures but seconds are those of the test rows.

``codes``: tokenizers with the same network and epochs. Relative error; accuracy of
logistic regression on the quantized latents; perplexity of the codes as a share of the
codebook; silhouette of the latents under their codes, and their variance between codes
over that within.
``classes``: `HyperVQClassifier` beside scikit-learn's MLPClassifier of the same layers.
``samples``: pictures with a grid of codes and a `TokenPrior` over them. The Frechet
distance of 1,000 samples to the test pictures, on 50 principal components of the
pixels, and the prior's bits a code.

Each run is appended to the results file, and runs that it holds are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from data import load_mnist
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skhyper import (
    HRQVAETokenizer,
    HyperVQClassifier,
    HyperVQTokenizer,
    RQVAETokenizer,
    TokenPrior,
    VQVAETokenizer,
    metrics,
)
from skhyper.datasets import load_naics

EPOCHS = {"mnist": 20, "naics": 100}
CODES = {
    "VQ-VAE": lambda **s: VQVAETokenizer(64, **s),
    "HyperVQ": lambda **s: HyperVQTokenizer(1, 64, **s),
    "HyperVQ, ReinMax": lambda **s: HyperVQTokenizer(1, 64, gradient="reinmax", **s),
    "HyperVQ, Gumbel": lambda **s: HyperVQTokenizer(
        1, 64, gradient="gumbel", temperature=(1.0, 0.5), **s
    ),
    "RQ-VAE 2 x 16": lambda **s: RQVAETokenizer(2, 16, **s),
    "HRQ-VAE 2 x 16": lambda **s: HRQVAETokenizer(2, 16, **s),
    "HyperVQ 2 x 16": lambda **s: HyperVQTokenizer(2, 16, **s),
}
CLASSES = {
    "MLPClassifier": lambda seed, epochs: MLPClassifier(
        (256, 128), max_iter=epochs, random_state=seed
    ),
    "HyperVQClassifier": lambda seed, epochs: HyperVQClassifier(
        64, hidden_layer_sizes=(256, 128), max_iter=epochs, random_state=seed
    ),
}
PICTURES = {
    "input_shape": (1, 28, 28),
    "n_channels": 16,
    "latent_dim": 16,
    "max_iter": 12,
    "batch_size": 64,
}
SAMPLES = {
    "VQ-VAE": lambda **s: VQVAETokenizer(64, **s),
    "HyperVQ": lambda **s: HyperVQTokenizer(1, 64, **s),
}
PARTS = {"codes": CODES, "classes": CLASSES, "samples": SAMPLES}


@cache
def load(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    if name == "naics":
        naics = load_naics()
        return naics.data, naics.target[:, 0]
    return load_mnist()


def split(name: str, seed: int) -> list[np.ndarray]:
    return train_test_split(*load(name), test_size=0.2, random_state=seed)


def probe(Z_train, Z_test, y_train, y_test) -> float:
    unit = Z_train.std()
    model = LogisticRegression(max_iter=2000).fit(Z_train / unit, y_train)
    return model.score(Z_test / unit, y_test)


def separation(Z: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    mean = Z.mean(axis=0)
    between = within = 0.0
    for label in np.unique(labels):
        inside = Z[labels == label]
        centre = inside.mean(axis=0)
        between += len(inside) * np.sum((centre - mean) ** 2)
        within += np.sum((inside - centre) ** 2)
    return {
        "silhouette": float(silhouette_score(Z, labels, random_state=0)),
        "between / within": float(between / within),
    }


def run_codes(data: str, case: str, seed: int) -> dict:
    X_train, X_test, y_train, y_test = split(data, seed)
    tokenizer = CODES[case](
        hidden_layer_sizes=(256,),
        batch_size=128,
        max_iter=EPOCHS[data],
        n_iter_no_change=1000,
        random_state=seed,
    )
    start = time.process_time()
    codes = tokenizer.fit_transform(X_train)
    seconds = time.process_time() - start
    sizes = [len(book) for book in tokenizer.codebooks_]
    shares = metrics.perplexity(codes) / sizes
    test_codes = tokenizer.transform(X_test)
    quantized = tokenizer.quantize(X_train), tokenizer.quantize(X_test)
    return {
        "error": metrics.relative_distortion(
            X_test, tokenizer.inverse_transform(test_codes)
        ),
        "probe": probe(*quantized, y_train, y_test),
        "perplexity share": float(np.min(shares)),
        **separation(tokenizer.embed(X_test), tokenizer.predict(X_test)),
        "seconds": seconds,
    }


def run_classes(data: str, case: str, seed: int) -> dict:
    X_train, X_test, y_train, y_test = split(data, seed)
    start = time.process_time()
    model = CLASSES[case](seed, 25 if data == "mnist" else 100).fit(X_train, y_train)
    seconds = time.process_time() - start
    return {"accuracy": model.score(X_test, y_test), "seconds": seconds}


def frechet(A: np.ndarray, B: np.ndarray) -> float:
    """Squared Frechet distance of normal distributions fitted to rows."""
    S, T = np.cov(A.T), np.cov(B.T)
    trace = np.trace(S + T - 2 * np.real(sqrtm(S @ T)))
    return float(np.sum((A.mean(0) - B.mean(0)) ** 2) + trace)


def run_samples(data: str, case: str, seed: int) -> dict:
    X_train, X_test, _, _ = split(data, seed)
    tokenizer = SAMPLES[case](random_state=seed, **PICTURES)
    start = time.process_time()
    codes = tokenizer.fit_transform(X_train)
    prior = TokenPrior(
        n_levels=1, codebook_size=64, d_model=32, max_iter=12, random_state=seed
    ).fit(codes)
    test_codes = tokenizer.transform(X_test)
    pca = PCA(50, random_state=0).fit(X_train)
    drawn = tokenizer.inverse_transform(prior.sample(1000, random_state=seed))
    decoded = tokenizer.inverse_transform(test_codes)
    reference = pca.transform(X_test)
    return {
        "error": metrics.relative_distortion(X_test, decoded),
        "perplexity share": float(metrics.perplexity(codes.reshape(-1, 1))[0] / 64),
        "bits a code": -prior.score(test_codes) / np.log(2) / codes.shape[1],
        "Frechet, decoded": frechet(pca.transform(decoded), reference),
        "Frechet, samples": frechet(pca.transform(drawn), reference),
        "seconds": time.process_time() - start,
    }


RUN = {"codes": run_codes, "classes": run_classes, "samples": run_samples}


def run(part: str, data: str, case: str, seed: int) -> dict:
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = RUN[part](data, case, seed)
    return {"part": part, "data": data, "case": case, "seed": seed, **found}


def table(part: str, data: str, results: list[dict]) -> None:
    rows = [r for r in results if r["part"] == part and r["data"] == data]
    if not rows:
        return
    columns = [k for k in rows[0] if k not in ("part", "data", "case", "seed")]
    print(f"\n{part}, {data}\n{'':20}" + "".join(f"{c:>20}" for c in columns))
    for case in PARTS[part]:
        own = [r for r in rows if r["case"] == case]
        if not own:
            continue
        cells = []
        for column in columns:
            values = np.array([r[column] for r in own])
            cells.append(f"{values.mean():.4f} +- {values.std():.4f}")
        print(f"{case:20}" + "".join(f"{cell:>20}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["mnist", "naics"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS))
    parser.add_argument("--cases", nargs="+", help="all of them by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("hypervq.jsonl"))
    options = parser.parse_args()
    done = []
    if options.results.exists():
        done = [json.loads(line) for line in options.results.read_text().splitlines()]
    known = {(r["part"], r["data"], r["case"], r["seed"]) for r in done}
    jobs = [
        (part, data, case, seed)
        for seed in range(options.seeds)
        for part in options.parts
        for data in options.data
        for case in PARTS[part]
        if not options.cases or case in options.cases
        if load(data) is not None and not (part == "samples" and data == "naics")
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(run, *job) for job in jobs if job not in known]
        for future in futures:
            done.append(future.result())
            with options.results.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
    for part in options.parts:
        for data in options.data:
            table(part, data, done)


if __name__ == "__main__":
    main()
