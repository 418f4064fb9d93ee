"""What each part of a tokenizer is worth: residual x gradient x codebook x geometry.

    python benchmarks/choices.py [--data naics tree beauty] [--seeds 5] [--jobs 2]
                                 [--results choices.jsonl]

Every combination of residual rule, gradient and codebook update of `HRQVAETokenizer` at
curvature 1, `RQVAETokenizer` with both of its codebook updates, and single changes of
the default (curvature, balanced assignment, beam, Moebius layers), on the NAICS
industries (bundled), a generated tree, and the item titles of Amazon Beauty (see
``data.py``). All train with the same network and number of epochs, one thread each.

Each run is appended to the results file, and runs that it holds are not repeated. The
tables give mean and standard deviation over seeds of: relative error of the whole
code, the least used level, collisions, mutual information (NMI) of the first token with
the coarsest labels, and CPU seconds of the fit; and the pooled difference that each
part makes, paired over seeds and over all combinations of the other parts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from data import load_beauty

from skhyper import HRQVAETokenizer, RQVAETokenizer, metrics
from skhyper.datasets import load_naics, make_tree

PARTS = {
    "residual": ("exact", "paper", "tangent"),
    "gradient": ("tangent", "transport", "identity"),
    "codebook_update": ("gradient", "riemannian", "ema"),
}
SINGLE = [
    {"curvature": 0.1},
    {"curvature": 0.3},
    {"curvature": 2.0},
    {"assignment": "balanced"},
    {"beam_size": 5},
    {"encoder": "hyperbolic"},
]
FIGURES = ("error", "usage", "collisions", "nmi", "seconds")
SETTINGS = {
    "naics": {"codebook_size": 64, "hidden_layer_sizes": (256, 128), "max_iter": 100},
    "tree": {"codebook_size": 64, "hidden_layer_sizes": (128,), "max_iter": 40},
    "beauty": {
        "codebook_size": 256,
        "hidden_layer_sizes": (256, 128),
        "max_iter": 20,
        "batch_size": 512,
    },
}


def load(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    if name == "naics":
        naics = load_naics()
        return naics.data, naics.target[:, 0]
    if name == "tree":
        X, y = make_tree(4000, 32, branching=5, depth=4, random_state=0)
        return X.astype(np.float32), y[:, 1]
    return load_beauty()


def cases() -> list[tuple[str, dict]]:
    flat = [("flat", {"codebook_update": update}) for update in ("gradient", "ema")]
    grid = itertools.product(*PARTS.values())
    ball = [("ball", dict(zip(PARTS, values, strict=True))) for values in grid]
    return flat + ball + [("ball", change) for change in SINGLE]


def run(data: str, geometry: str, parts: dict, seed: int) -> dict:
    import torch

    torch.set_num_threads(1)
    X, labels = load(data)
    cls = RQVAETokenizer if geometry == "flat" else HRQVAETokenizer
    tokenizer = cls(3, random_state=seed, **SETTINGS[data], **parts)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a level that collapses shows in the figures
        codes = tokenizer.fit_transform(X)
    seconds = time.process_time() - start
    X_hat = tokenizer.inverse_transform(codes)
    return {
        "data": data,
        "case": name_of(geometry, parts),
        "seed": seed,
        "error": metrics.relative_distortion(X, X_hat),
        "usage": float(tokenizer.codebook_usage_.min()),
        "collisions": float(metrics.collision_rate(codes)[-1]),
        "nmi": float(metrics.prefix_agreement(codes, labels)[0]),
        "seconds": seconds,
    }


def name_of(geometry: str, parts: dict) -> str:
    return " ".join([geometry, *(f"{k}={v}" for k, v in parts.items())])


def print_tables(records: list[dict], data: str) -> None:
    by_case = defaultdict(dict)
    for record in records:
        if record["data"] == data:
            by_case[record["case"]][record["seed"]] = record
    names = [name_of(*case) for case in cases() if name_of(*case) in by_case]
    print(f"\n{data}: {SETTINGS[data]}")
    print(f"{'':72}" + "".join(f"{figure:>16}" for figure in FIGURES))
    for name in names:
        runs = by_case[name].values()
        cells = []
        for figure in FIGURES:
            values = np.array([record[figure] for record in runs])
            digits = 1 if figure == "seconds" else 3
            cells.append(f"{values.mean():.{digits}f} +- {values.std():.{digits}f}")
        print(f"{name:72}" + "".join(f"{cell:>16}" for cell in cells))
    print_effects(by_case)


def print_effects(by_case: dict) -> None:
    """Print what a part changes against the first of its kind, all else equal."""
    print(
        "\npooled paired differences (mean, standard error) to the first of each part"
    )
    for part, values in PARTS.items():
        others = [choices for key, choices in PARTS.items() if key != part]
        for value in values[1:]:
            differences = defaultdict(list)
            for rest in itertools.product(*others):
                pair = []
                for choice in (values[0], value):
                    chosen, left = {}, list(rest)
                    for key in PARTS:
                        chosen[key] = choice if key == part else left.pop(0)
                    pair.append(by_case.get(name_of("ball", chosen), {}))
                for seed in pair[0].keys() & pair[1].keys():
                    for figure in FIGURES:
                        change = pair[1][seed][figure] - pair[0][seed][figure]
                        differences[figure].append(change)
            cells = [
                f"{np.mean(d):+.4f} ({np.std(d) / len(d) ** 0.5:.4f})"
                for d in (differences[figure] for figure in FIGURES)
                if d
            ]
            print(f"{part}={value:20}" + "".join(f"{cell:>20}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("choices.jsonl"))
    options = parser.parse_args()

    records = []
    if options.results.exists():
        records = [json.loads(line) for line in options.results.open()]
    done = {(r["data"], r["case"], r["seed"]) for r in records}
    wanted = [name for name in options.data if load(name) is not None]
    todo = [
        (data, *case, seed)
        for data in wanted
        for seed in range(options.seeds)
        for case in cases()
        if (data, name_of(*case), seed) not in done
    ]
    with ProcessPoolExecutor(options.jobs) as pool, options.results.open("a") as file:
        for record in pool.map(run, *zip(*todo, strict=True)) if todo else ():
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
    for data in wanted:
        print_tables(records, data)


if __name__ == "__main__":
    main()
