"""What pretraining the bare autoencoder does for the codes.

    python benchmarks/pretraining.py [--seeds 3]

Trains both tokenizers on the NAICS industries (3 levels of 64 codes, 200 epochs, hidden
layers of 256 and 128) with different shares of the epochs spent before the codebooks
start, and prints the relative error and the collisions on the training rows, mean and
standard deviation over seeds.
"""

from __future__ import annotations

import argparse

import numpy as np

from skhyper import HRQVAETokenizer, RQVAETokenizer, metrics
from skhyper.datasets import load_naics

SHARES = (0.0, 0.05, 0.1, 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    X = load_naics().data
    print(f"{'':18}{'share':>6}{'error':>18}{'collisions %':>18}")
    for tokenizer in (RQVAETokenizer, HRQVAETokenizer):
        for share in SHARES:
            tokenizer._pretraining = share
            runs = []
            for seed in range(options.seeds):
                model = tokenizer(
                    3, 64, hidden_layer_sizes=(256, 128), random_state=seed
                )
                codes = model.fit_transform(X)
                error = metrics.relative_distortion(X, model.inverse_transform(codes))
                runs.append((error, 100 * metrics.collision_rate(codes)[-1]))
            mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
            cells = [
                f"{m:.{d}f} +- {s:.{d}f}"
                for m, s, d in zip(mean, spread, (3, 1), strict=True)
            ]
            print(
                f"{tokenizer.__name__:18}{share:>6g}"
                + "".join(f"{cell:>18}" for cell in cells),
                flush=True,
            )


if __name__ == "__main__":
    main()
