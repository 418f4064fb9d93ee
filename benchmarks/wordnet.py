"""Hypernyms of WordNet's nouns from codes: the first experiment of the HRQ paper.

    python benchmarks/wordnet.py [--parts speed embedding table direct norms]
                                 [--subset mammals|nouns] [--path FOLDER]
                                 [--dims 4 8 16 32] [--sizes 64 128] [--levels 3 4]
                                 [--seeds 5] [--tune] [--results wordnet.jsonl]

``speed``      pairs a second in training, beside gensim's PoincareModel if installed.
``embedding``  how well distances tell ancestors (MAP, mean rank), ball and flat space.
``table``      Piekos et al. (2025), Table 1, in kind: points and codes are learnt on
               85 % of the pairs (noun, ancestor); a transformer learns to write the
               ancestor's code from the noun's; Recall@10 is measured on the others.
``direct``     the same where no test pair follows from the pairs of training.
``norms``      their Appendix D: how much the norms of points vary.

In every part ``HierarchyTokenizer`` in the ball ("HRQ") meets itself in flat space
("RQ"), with the same training, the same transformer, and a commitment weight chosen for
each, and each dimension, from a grid of the same length, on a validation part of the
training pairs of seed 100 (``--tune``).

Recall is counted by nodes: a last token tells apart the nodes whose codes are equal,
and an answer is right if it is the very node. "Codes" has it the paper's way, where any
node with the code of the target will do, which rewards codes that collide: look at
"unique" beside it. In both, ancestors known from training take up places among the ten
answers; "new R@10" leaves them out of the answers first. The floors use no model: the
ten commonest ancestors, and what follows from the training pairs by composing them,
however many that are.

Each run is appended to the results file, and runs that it holds are not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skhyper.datasets import (
    fetch_wordnet_nouns,
    hypernymy_split,
    load_wordnet_mammals,
    transitive_closure,
)
from skhyper.generative import GenerativeRetriever, add_counter
from skhyper.hierarchy import HierarchyTokenizer, PoincareEmbedding
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import (
    collision_rate,
    composition_recall,
    hierarchy_ranking,
    norm_statistics,
    popularity_recall,
    recall_at_k,
)

PARTS = ("speed", "embedding", "table", "direct", "norms")
NAMES = {"hyperbolic": "HRQ", "euclidean": "RQ"}
TUNING_SEED = 100

# what was tried for each geometry and dimension on the tuning seed
COMMITMENTS = (0.0, 0.1, 0.3, 1.0)

# and what had the best recall there, of what leaves 95 % of the codes unique
CHOSEN: dict[str, dict[int, float]] = {
    "hyperbolic": {4: 0.1, 8: 0.3, 16: 0.3, 32: 0.3},
    "euclidean": {4: 0.0, 8: 0.0, 16: 0.3, 32: 0.3},
}

# One small transformer for all rows. It cannot hold all nouns: there it learns more
# without dropout, and with steps that grow smaller.
SMALL = {"d_model": 128, "n_layers": 2, "dim_feedforward": 256, "max_iter": 14}
RETRIEVER: dict[str, dict[str, Any]] = {
    "mammals": SMALL,
    "nouns": {
        **SMALL,
        "dropout": 0.0,
        "batch_size": 512,
        "learning_rate_schedule": "linear",
    },
}
EMBEDDING = {
    "mammals": {"max_iter": 200},
    "nouns": {"max_iter": 200, "max_radius": None},
}


class Data:
    """A hierarchy, as labels and as numbers of its nodes."""

    def __init__(self, subset: str, path: str | None) -> None:
        if subset == "mammals":
            self.edges = load_wordnet_mammals().edges
        else:
            self.edges = fetch_wordnet_nouns(path).edges
        self.subset = subset
        self.closure = transitive_closure(self.edges)
        self.labels = np.unique(self.closure.astype(str))
        self.pairs = self.rows(self.closure)

    def rows(self, labels: np.ndarray) -> np.ndarray:
        """Return the numbers of labels."""
        return np.searchsorted(self.labels, labels.astype(str))


def manifold_of(estimator: Any) -> Any:
    return PoincareBall(estimator.curvature_) if estimator.curvature_ else Euclidean()


def measure_speed(data: Data) -> None:
    """Print pairs a second, with 50 negatives at 10 dimensions."""
    model = PoincareEmbedding(10, max_iter=3, random_state=0)
    model.fit(data.edges[:50])  # imports torch
    start = time.perf_counter()
    model.fit(data.edges)
    ours = 3 * len(data.pairs) / (time.perf_counter() - start)
    print(f"skhyper: {ours:,.0f} pairs a second", flush=True)
    try:
        from gensim.models.poincare import PoincareModel
    except ImportError:
        print("gensim is not installed")
        return
    some = data.closure[:: max(1, len(data.closure) // 2000)]
    peer = PoincareModel(some.tolist(), size=10, negative=50, burn_in=0, seed=0)
    start = time.perf_counter()
    peer.train(epochs=1, batch_size=10)
    theirs = len(some) / (time.perf_counter() - start)
    print(f"gensim:  {theirs:,.0f} pairs a second; ratio {ours / theirs:.0f}")


def run_embedding(data: Data, geometry: str, dim: int, seed: int) -> dict:
    """Embed the whole hierarchy, and rank ancestors by distance."""
    start = time.perf_counter()
    model = PoincareEmbedding(
        dim, geometry=geometry, random_state=seed, **EMBEDDING[data.subset]
    ).fit(data.edges)
    seconds = time.perf_counter() - start
    found = hierarchy_ranking(model.embedding_, data.pairs, manifold=manifold_of(model))
    return {
        "MAP": found.mean_average_precision,
        "mean rank": found.mean_rank,
        "seconds": seconds,
    }


def run_codes(
    data: Data,
    geometry: str,
    case: tuple[int, int, int],
    seed: int,
    kind: str = "random",
    commitment: float | None = None,
) -> dict:
    """Learn codes on training pairs and a transformer on these, and test it."""
    dim, size, n_levels = case
    split = hypernymy_split(data.edges, kind=kind, random_state=seed)
    train, test = data.rows(split.train), data.rows(split.test)
    if commitment is None:
        commitment = CHOSEN[geometry][dim]
    else:
        train, test = train_test_split(train, test_size=0.15, random_state=seed)

    start = time.perf_counter()
    tokenizer = HierarchyTokenizer(
        n_levels,
        size,
        latent_dim=dim,
        geometry=geometry,
        commitment_weight=commitment,
        closure=False,
        random_state=seed,
    ).fit(data.labels[train])
    # nodes without a pair in this part have no code, and their pairs do not count
    known = np.isin(data.labels, tokenizer.classes_)
    train, test = (part[known[part].all(axis=1)] for part in (train, test))
    place = np.cumsum(known) - 1
    train, test = place[train], place[test]
    codes = add_counter(tokenizer.codes_)

    retriever = GenerativeRetriever(random_state=seed, **RETRIEVER[data.subset])
    retriever.fit(codes[train[:, 0]], codes[train[:, 1]], catalogue=codes)
    queries, back = np.unique(test[:, 0], return_inverse=True)
    answers = retriever.predict(codes[queries], k=10)[back]
    seconds = time.perf_counter() - start
    new = new_answers(retriever, codes, queries, train)[back]
    return {
        "unique": 1.0 - collision_rate(tokenizer.codes_)[-1],
        **code_quality(data, tokenizer, known),
        "R@10": recall_at_k(codes[test[:, 1]], answers),
        "new R@10": recall_at_k(test[:, 1], new),
        "codes R@10": recall_at_k(
            tokenizer.codes_[test[:, 1]], answers[:, :, :n_levels]
        ),
        "popularity": popularity_recall(train, test),
        "composition": composition_recall(train, test),
        "seconds": seconds,
    }


def new_answers(
    retriever: GenerativeRetriever,
    codes: np.ndarray,
    queries: np.ndarray,
    train: np.ndarray,
) -> np.ndarray:
    """Return the ten likeliest nodes for each query that training does not tell."""
    n_nodes = len(codes)
    n_known = np.bincount(train[:, 0], minlength=n_nodes)[queries].max()
    found = retriever.predict(codes[queries], k=min(10 + n_known, n_nodes))
    sizes = codes.max(axis=0) + 1
    keys = np.ravel_multi_index(tuple(codes.T), sizes)
    order = np.argsort(keys)
    given = np.ravel_multi_index(tuple(np.moveaxis(found, 2, 0)), sizes)
    nodes = order[np.searchsorted(keys[order], given)]
    known = np.isin(queries[:, None] * n_nodes + nodes, train @ [n_nodes, 1])
    first = np.argsort(known, axis=1, kind="stable")[:, :10]
    return np.take_along_axis(nodes, first, axis=1)


def code_quality(data: Data, tokenizer: Any, known: np.ndarray) -> dict:
    """Return how well distances tell ancestors, before and after quantization."""
    manifold = manifold_of(tokenizer)
    pairs = data.pairs[known[data.pairs].all(axis=1)]
    pairs = (np.cumsum(known) - 1)[pairs]
    quantized = manifold.expmap0(tokenizer.quantize(tokenizer.classes_))
    norms = norm_statistics(tokenizer.embedding_, manifold=manifold)
    return {
        "MAP": hierarchy_ranking(
            tokenizer.embedding_, pairs, manifold=manifold
        ).mean_average_precision,
        "quantized MAP": hierarchy_ranking(
            np.asarray(quantized), pairs, manifold=manifold
        ).mean_average_precision,
        "norm": norms.mean,
        "norm std": norms.std,
        "norm cv": norms.cv,
    }


class Results:
    """Runs in a file, each done once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = []
        if path.exists():
            self.records = [json.loads(line) for line in path.open()]

    def once(self, key: dict, run: Any) -> None:
        """Run what the file does not hold yet, and write it down."""
        if any(key.items() <= record.items() for record in self.records):
            return
        self.records.append({**key, **run()})
        with self.path.open("a") as file:
            file.write(json.dumps(self.records[-1]) + "\n")

    def of(self, **key: Any) -> list[dict]:
        """Return the runs with some entries."""
        return [r for r in self.records if key.items() <= r.items()]


def print_rows(records: list[dict], by: tuple[str, ...], figures: tuple) -> None:
    """Print mean and standard deviation over seeds."""
    groups: dict[tuple, list[dict]] = defaultdict(list)
    for record in records:
        groups[tuple(record[name] for name in by)].append(record)
    print("".join(f"{name:>12}" for name in (*by, "seeds", *figures)))
    for key in sorted(groups):
        cells = [f"{value!s:>12}" for value in (*key, len(groups[key]))]
        for name in figures:
            values = [record[name] for record in groups[key]]
            cells.append(f"{np.mean(values):6.3f}+-{np.std(values):.3f}"[:12].rjust(12))
        print("".join(cells))


def print_pairs(records: list[dict], figure: str) -> None:
    """Print HRQ less RQ, paired by case and seed, pooled over each dimension."""
    values = {
        (r["dim"], r["size"], r["levels"], r["seed"], r["geometry"]): r[figure]
        for r in records
    }
    cases = sorted({key[:4] for key in values})
    both = [
        (case, [values.get((*case, g)) for g in ("hyperbolic", "euclidean")])
        for case in cases
    ]
    both = [(case, pair) for case, pair in both if None not in pair]
    dims = sorted({case[0] for case, _ in both})
    for name, chosen in [*((f"dim {d}", {d}) for d in dims), ("dim >= 8", {8, 16, 32})]:
        pairs = np.array([pair for case, pair in both if case[0] in chosen])
        if len(pairs) < 2:
            continue
        gap = pairs[:, 0] - pairs[:, 1]
        p = ttest_rel(*pairs.T).pvalue
        print(
            f"{figure}, {name}: HRQ - RQ = {gap.mean():+.4f} +- {gap.std():.4f} in "
            f"{len(gap)} pairs, {np.sum(gap > 0)} above 0, p = {p:.2g}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--subset", default="mammals", choices=("mammals", "nouns"))
    parser.add_argument("--path", help="where WordNet 3.0 is, for the nouns")
    parser.add_argument("--dims", nargs="+", type=int, default=[4, 8, 16, 32])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--levels", nargs="+", type=int, default=[3, 4])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("wordnet.jsonl"))
    options = parser.parse_args()
    data, results = Data(options.subset, options.path), Results(options.results)
    for part in options.parts:
        print(f"\n{part}, {options.subset}", flush=True)
        # models this small are no faster on several threads
        with threadpool_limits(None if part == "speed" else 1):
            run_part(part, data, results, options)


def run_part(part: str, data: Data, results: Results, options: Any) -> None:
    if part == "speed":
        measure_speed(data)
        return
    key = {"part": part, "subset": data.subset}
    if part == "embedding":
        for seed, dim, geometry in itertools.product(
            range(options.seeds), (5, 10), NAMES
        ):
            results.once(
                {**key, "geometry": geometry, "dim": dim, "seed": seed},
                lambda g=geometry, d=dim, s=seed: run_embedding(data, g, d, s),
            )
        figures = ("MAP", "mean rank", "seconds")
        print_rows(results.of(**key), ("dim", "geometry"), figures)
        return
    if part == "norms":
        records = results.of(part="table", subset=data.subset)
        figures = ("norm", "norm std", "norm cv")
        print_rows(records, ("dim", "geometry"), figures)
        return
    run_table(part, key, data, results, options)


def run_table(part: str, key: dict, data: Data, results: Results, options: Any) -> None:
    kind = "random" if part == "table" else "direct"
    tried = COMMITMENTS if options.tune else (None,)
    seeds = [TUNING_SEED] if options.tune else range(options.seeds)
    cases = itertools.product(
        seeds, options.dims, options.sizes, options.levels, tried, NAMES
    )
    for seed, dim, size, levels, commitment, geometry in cases:
        case = {"dim": dim, "size": size, "levels": levels, "seed": seed}
        results.once(
            {**key, **case, "geometry": geometry, "commitment": commitment},
            lambda g=geometry, c=(dim, size, levels), s=seed, w=commitment: run_codes(
                data, g, c, s, kind, w
            ),
        )
    records = results.of(**key)
    tuned = [r for r in records if r["seed"] == TUNING_SEED]
    records = [r for r in records if r["seed"] != TUNING_SEED]
    figures = ("unique", "MAP", "quantized MAP", "R@10", "new R@10", "codes R@10")
    if options.tune:
        print_rows(tuned, ("dim", "geometry", "commitment"), figures)
        return
    floors = ("popularity", "composition", "seconds")
    by = ("size", "levels", "dim", "geometry")
    print_rows(records, by, (*figures, *floors))
    for figure in ("R@10", "new R@10", "MAP", "quantized MAP"):
        print_pairs(records, figure)


if __name__ == "__main__":
    main()
