"""How far from the origin `curvature="auto"` should put the median point.

    python benchmarks/curvature.py [--seeds 5]

Fits `HyperbolicResidualQuantizer` at curvatures that put the median point 0.25 to 2
radii of curvature from the origin, beside the flat `ResidualQuantizer`, and prints
error, collisions and agreement with the labels, mean and standard deviation over
seeds. Rows are centred first, as in the demo.

Data: the NAICS industries (bundled), a generated tree, and, if the environment variable
SKHYPER_DATA names a folder that holds them, the item embeddings of Amazon Beauty 2014
(``amazon2014/beauty/minilm_title_384_f16.npy``; no labels).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from skhyper import HyperbolicResidualQuantizer, ResidualQuantizer, metrics
from skhyper.datasets import load_naics, make_tree

RADII = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


def data_sets():
    naics = load_naics()
    yield "NAICS", naics.data, naics.target[:, 0], 64
    X, y = make_tree(4000, 32, branching=5, depth=4, random_state=0)
    yield "tree", X, y[:, 1], 64
    folder = os.environ.get("SKHYPER_DATA")
    if folder is None:
        print("SKHYPER_DATA is not set: Beauty is left out")
        return
    path = Path(folder) / "amazon2014" / "beauty" / "minilm_title_384_f16.npy"
    yield "Beauty", np.load(path).astype(np.float32), None, 256


def figures(quantizer, X, labels) -> tuple[float, float, float]:
    codes = quantizer.fit_transform(X)
    agreement = np.nan if labels is None else metrics.prefix_agreement(codes, labels)[0]
    error = metrics.relative_distortion(X, quantizer.inverse_transform(codes))
    return error, 100 * metrics.collision_rate(codes)[-1], agreement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for name, X, labels, size in data_sets():
        X = X - X.mean(axis=0)
        median = float(np.median(np.linalg.norm(X, axis=1)))
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, 3 levels of {size}")
        print(f"{'radii':>8}{'error':>18}{'collisions %':>18}{'NMI, depth 1':>18}")
        for radii in (0.0, *RADII):
            runs = []
            for seed in range(options.seeds):
                shape = {"codebook_size": size, "n_init": 3, "random_state": seed}
                quantizer = (
                    HyperbolicResidualQuantizer(
                        curvature=(0.5 * radii / median) ** 2, **shape
                    )
                    if radii
                    else ResidualQuantizer(**shape)
                )
                runs.append(figures(quantizer, X, labels))
            mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
            cells = [
                f"{m:.{d}f} +- {s:.{d}f}"
                for m, s, d in zip(mean, spread, (4, 2, 3), strict=True)
            ]
            label = f"{radii:g}" if radii else "flat"
            print(f"{label:>8}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
