"""The main job: industries as text embeddings in, hierarchical codes out.

Fits four estimators to the 1,012 industries of NAICS 2022 (384-dimensional text
embeddings), beside a residual chain of scikit-learn's KMeans, and prints what their
codes are worth. The classification's own sectors, subsectors and industry groups are
not shown to them; how far the codes agree with those says what the levels have found.

    python examples/demo_naics.py [--seeds 5] [--output demo_output]

Writes ``codes.csv`` and ``code_tree.png``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper import (
    HRQVAETokenizer,
    HyperbolicResidualQuantizer,
    ResidualQuantizer,
    RQVAETokenizer,
    metrics,
)
from skhyper.datasets import load_naics

N_LEVELS, CODEBOOK_SIZE = 3, 64


class KMeansChain(TransformerMixin, BaseEstimator):
    """What a scikit-learn user would write today: KMeans on what KMeans left over."""

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit one KMeans a level."""
        self.levels_, rest = [], X
        for _ in range(N_LEVELS):
            level = KMeans(CODEBOOK_SIZE, n_init=10, random_state=self.random_state)
            level.fit(rest)
            rest = rest - level.cluster_centers_[level.labels_]
            self.levels_.append(level)
        return self

    def transform(self, X):
        """Return the clusters of each level."""
        columns, rest = [], X
        for level in self.levels_:
            columns.append(level.predict(rest))
            rest = rest - level.cluster_centers_[columns[-1]]
        return np.column_stack(columns)

    def inverse_transform(self, codes):
        """Add the centers up."""
        pairs = zip(self.levels_, codes.T, strict=True)
        return sum(level.cluster_centers_[tokens] for level, tokens in pairs)


def pipeline(name: str, seed: int) -> Pipeline:
    """Centre the embeddings, then encode them."""
    shape = {"n_levels": N_LEVELS, "codebook_size": CODEBOOK_SIZE}
    # a thousand rows need no more network than this
    network = {"hidden_layer_sizes": (256, 128), "random_state": seed}
    encoder = {
        "KMeans chain (scikit-learn)": lambda: KMeansChain(random_state=seed),
        "ResidualQuantizer": lambda: ResidualQuantizer(
            **shape, n_init=10, random_state=seed
        ),
        "HyperbolicResidualQuantizer": lambda: HyperbolicResidualQuantizer(
            **shape, n_init=10, random_state=seed
        ),
        "RQVAETokenizer": lambda: RQVAETokenizer(**shape, **network),
        "HRQVAETokenizer": lambda: HRQVAETokenizer(**shape, **network),
    }[name]()
    return make_pipeline(StandardScaler(with_std=False), encoder)


ESTIMATORS = (
    "KMeans chain (scikit-learn)",
    "ResidualQuantizer",
    "HyperbolicResidualQuantizer",
    "RQVAETokenizer",
    "HRQVAETokenizer",
)


def measure(model: Pipeline, naics) -> tuple[dict[str, float], np.ndarray]:
    """Fit and encode; return the figures of one run, and its codes."""
    X = naics.data
    start = time.perf_counter()
    model.fit(X)
    fitted = time.perf_counter()
    codes = model.transform(X)
    encoded = time.perf_counter()
    agreement = metrics.prefix_agreement(codes, naics.target)
    usage = metrics.codebook_usage(codes, CODEBOOK_SIZE)
    figures = {
        "error": metrics.relative_distortion(X, model.inverse_transform(codes)),
        "least use %": 100 * usage.min(),
        "collisions %": 100 * metrics.collision_rate(codes)[-1],
        "sector": agreement[0, 0],
        "subsector": agreement[1, 1],
        "group": agreement[2, 2],
        "fit s": fitted - start,
        "encode ms": 1e3 * (encoded - fitted),
    }
    return figures, codes


def print_table(runs: dict[str, list[dict[str, float]]], n_seeds: int) -> None:
    columns = list(next(iter(runs.values()))[0])
    print(
        f"\n{N_LEVELS} levels of {CODEBOOK_SIZE} codes, mean +- standard deviation "
        f"over {n_seeds} seeds.\nerror: squared error over variance. least use: of the "
        "level that uses fewest of its codes.\nsector, subsector, group: normalised "
        "mutual information with the first 1, 2, 3 tokens.\n"
    )
    print(" " * 28 + "".join(f"{name:>15}" for name in columns))
    for name, figures in runs.items():
        cells = []
        for column in columns:
            values = np.array([run[column] for run in figures])
            digits = 1 if column.endswith(("%", " s", " ms")) else 3
            cells.append(f"{values.mean():.{digits}f} +- {values.std():.{digits}f}")
        print(f"{name:28}" + "".join(f"{cell:>15}" for cell in cells))


def print_meaning(codes: np.ndarray, naics, n_groups: int = 3) -> None:
    """Show the largest groups of industries that share tokens, coarse to fine."""
    print("\nWhat the tokens of HRQVAETokenizer mean, in its most common first tokens:")
    for first in np.bincount(codes[:, 0]).argsort()[::-1][:n_groups]:
        members = np.flatnonzero(codes[:, 0] == first)
        print(f"\n  {first:>2}  *  *   {len(members)} industries")
        seconds = np.bincount(codes[members, 1]).argsort()[::-1][:2]
        for second in seconds:
            for row in members[codes[members, 1] == second][:3]:
                token = "  ".join(f"{t:>2}" for t in codes[row])
                print(f"  {token}   {naics.codes[row]} {naics.titles[row]}")


def save_codes(path: Path, codes: dict[str, np.ndarray], naics) -> None:
    frame = pd.DataFrame({"naics": naics.codes, "title": naics.titles})
    for name, array in codes.items():
        for level in range(N_LEVELS):
            frame[f"{name}_{level + 1}"] = array[:, level]
    frame.to_csv(path, index=False)


def check_telescoping(model: Pipeline, naics, codes: np.ndarray) -> float:
    """Largest gap between d(z_hat, z) and the residual that the encoder tracked."""
    quantizer = model[-1]
    ball, stack = quantizer._manifold(), quantizer._stack()
    z = quantizer._points(model[:-1].transform(naics.data))
    rest = z
    for level in range(N_LEVELS):
        rest = stack.subtract(rest, level, codes[:, level])
    tracked = ball.dist(np.zeros_like(rest), rest)
    return float(np.abs(ball.dist(stack.decode(codes), z) - tracked).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    naics = load_naics()
    print(f"{len(naics.data)} industries, {naics.data.shape[1]} features")
    runs, codes, models = {}, {}, {}
    for name in ESTIMATORS:
        runs[name] = []
        for seed in range(options.seeds):
            model = pipeline(name, seed)
            figures, found = measure(model, naics)
            runs[name].append(figures)
            if seed == 0:
                codes[name], models[name] = found, model
        print(f"  {name}: {sum(run['fit s'] for run in runs[name]):.1f} s", flush=True)

    print_table(runs, options.seeds)
    hyperbolic = "HyperbolicResidualQuantizer"
    gap = check_telescoping(models[hyperbolic], naics, codes[hyperbolic])
    print(f"\n{hyperbolic}: |d(z_hat, z) - tracked residual| <= {gap:.1e}")
    print_meaning(codes["HRQVAETokenizer"], naics)
    del codes["KMeans chain (scikit-learn)"]
    save_codes(options.output / "codes.csv", codes, naics)
    draw(models["HRQVAETokenizer"], naics, options.output / "code_tree.png")
    print(f"\nWrote {options.output}/codes.csv and {options.output}/code_tree.png")


def draw(model: Pipeline, naics, path: Path, n_branches: int = 10) -> None:
    """Draw the largest branches of the code tree, two levels deep, on the disk."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from skhyper.plotting import PoincareDiskDisplay

    X = model[:-1].transform(naics.data)
    first = model[-1].predict(X)
    largest = np.bincount(first).argsort()[::-1][:n_branches]
    display = PoincareDiskDisplay.from_estimator(
        model[-1], X[np.isin(first, largest)], depth=2
    )
    display.ax_.set_title(
        f"{type(model[-1]).__name__}: industries of the {n_branches} commonest first "
        "tokens,\nthe codes of these (large) and of the second tokens below them"
    )
    display.figure_.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(display.figure_)


if __name__ == "__main__":
    main()
