"""From codes to recommendations: Amazon Beauty 2014, and what decoding takes.

    python benchmarks/recommendation.py [--parts ids decoding trie table] [--quick]
                                        [--rows SASRec RQ-VAE ...] [--seeds 3]
                                        [--results recommendation.jsonl]

``ids``       unique codes for the 12,101 items at 3 x 256: what they cost, how long it
              takes, and whether 1,000 items that come later move any.
``decoding``  beam search (20 beams, 256 users) over the codes of the catalogue, beside
              a dictionary trie walked in Python, one user after the other, with the
              same network: equal results, and the ratio of the times. Beside both,
              `transformers`, if it is installed: a T5 of the same sizes, whose
              ``generate`` asks a function for the tokens that are allowed.
``trie``      the trie of 1,000,000 codes.
``table``     Piekos et al. (2025), Table 2, in kind: Recall and NDCG at 5 and 10 of the
              last item of each user, among all items; the one before it validates.
              Random codes, RQ-VAE and HRQ-VAE (the paper's residuals and exact ones)
              under one recommender, beside popularity, item-kNN, a Markov chain and
              SASRec; pooled over seeds, with intervals from resampled users.

Beauty may not ship: SKHYPER_DATA names its folder, see ``data.py``. Each row of the
table is appended to the results file, and rows that it holds are not repeated.
``--quick`` takes a quarter of the users and of the epochs, which shows the order.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data import load_beauty_embeddings, load_beauty_sequences

from skhyper._utils._trie import CodeTrie
from skhyper.datasets import leave_one_out
from skhyper.generative import (
    CodeIndex,
    GenerativeRecommender,
    ItemKNNRecommender,
    MarkovRecommender,
    PopularityRecommender,
    SASRecRecommender,
)
from skhyper.metrics import ndcg_at_k, paired_bootstrap, recall_at_k
from skhyper.quantizers import ResidualQuantizer
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

PARTS = ("ids", "decoding", "trie", "table")
N_LEVELS, SIZE = 3, 256
N_BEAMS, N_USERS = 20, 256

# one small transformer and one network of tokens for all rows
RECOMMENDER = {"d_model": 128, "n_layers": 2, "dim_feedforward": 256, "max_iter": 20}
TOKENIZER = {"hidden_layer_sizes": (256, 128), "latent_dim": 32, "max_iter": 100}
SASREC = {"max_iter": 30}
PEERS = {
    "popularity": PopularityRecommender,
    "item-kNN": ItemKNNRecommender,
    "Markov": MarkovRecommender,
}
TOKENS = {
    "random codes": None,
    "RQ-VAE": (RQVAETokenizer, {}),
    "HRQ-VAE, paper": (HRQVAETokenizer, {"residual": "paper"}),
    "HRQ-VAE, exact": (HRQVAETokenizer, {"residual": "exact"}),
}
ROWS = (*PEERS, "SASRec", *TOKENS)


def time_ids(X: np.ndarray) -> None:
    """Print what unique codes cost."""
    codes = ResidualQuantizer(N_LEVELS, SIZE, n_init=1, random_state=0).fit(X)
    ids = np.arange(1, len(X) + 1)
    taken = codes.transform(X)
    print(f"\nids of {len(X)} items, {N_LEVELS} x {SIZE}")
    for unique, given in (("counter", ()), ("reassign", ()), ("reassign", (codes, X))):
        start = time.perf_counter()
        index = CodeIndex(unique=unique).fit(taken, ids, *given)
        seconds = time.perf_counter() - start
        left = len(ids) - len(np.unique(index.codes_, axis=0))
        extra = (
            "" if not given else f", {index.extra_distortion_ / index.distortion_:+.2%}"
        )
        print(
            f"{unique:9} {'by distance' if given else '':12} {seconds:6.2f} s, "
            f"{index.n_moved_} moved, {left} collisions left{extra}"
        )
        early = CodeIndex(unique=unique)
        early.fit(
            taken[:-1000], ids[:-1000], *given[:1], *(x[:-1000] for x in given[1:])
        )
        before = early.lookup(ids[:-1000])
        early.add(
            taken[-1000:], ids[-1000:], *given[:1], *(x[-1000:] for x in given[1:])
        )
        moved = int((early.lookup(ids[:-1000]) != before).any(axis=1).sum())
        print(f"{'':23}1,000 items later: {moved} others moved")


def time_decoding(X: np.ndarray, sequences: list[np.ndarray]) -> None:
    """Print the ratio of a dictionary trie, user by user, to the batched search."""
    codes = ResidualQuantizer(N_LEVELS, SIZE, n_init=1, random_state=0).fit_transform(X)
    index = CodeIndex().fit(codes, np.arange(1, len(X) + 1))
    settings = {**RECOMMENDER, "max_iter": 1}
    model = GenerativeRecommender(index, **settings, beam_size=N_BEAMS, random_state=0)
    model.fit(sequences[:2000])
    users = sequences[-N_USERS:]
    model.recommend(users[:8], N_BEAMS)
    start = time.perf_counter()
    found = model.recommend(users, N_BEAMS)
    ours = time.perf_counter() - start

    tree = as_dictionaries(model.codes_, model.items_)
    network = model._network()
    network.eval()
    start = time.perf_counter()
    theirs = [one_user(network, tree, model, user) for user in users]
    peer = time.perf_counter() - start
    same = np.mean([list(a) == b for a, b in zip(found, theirs, strict=True)])
    print(f"\ndecoding, {N_USERS} users, {N_BEAMS} beams, {len(X)} items")
    print(
        f"batched {ours:.2f} s, dictionary trie {peer:.2f} s: {peer / ours:.1f} times"
    )
    print(f"equal lists: {same:.1%}")
    for size in (1, 64):
        seconds = transformers_seconds(model, users, size)
        if seconds is not None:
            print(
                f"transformers, {size} users at once: {seconds:.2f} s: "
                f"{seconds / ours:.1f} times"
            )


def as_dictionaries(codes: np.ndarray, items: np.ndarray) -> dict:
    """Return codes as a trie of dictionaries, with an item behind each last token."""
    tree: dict[int, Any] = {}
    for code, item in zip(codes.tolist(), items.tolist(), strict=True):
        node = tree
        for token in code[:-1]:
            node = node.setdefault(token, {})
        node[code[-1]] = item
    return tree


def transformers_seconds(
    model: GenerativeRecommender, users: list[np.ndarray], size: int
) -> float | None:
    """Return how long a T5 of the same sizes takes, with random weights."""
    try:
        from transformers import T5Config, T5ForConditionalGeneration
    except ImportError:
        return None
    first = np.cumsum([2, *model.codebook_sizes_])  # 0 pads and begins, 1 ends
    codes = model.codes_ + first[:-1]
    tree = as_dictionaries(codes, model.items_)
    width, n_heads = RECOMMENDER["d_model"], 4
    t5 = T5ForConditionalGeneration(
        T5Config(
            vocab_size=int(first[-1]),
            d_model=width,
            d_kv=width // n_heads,
            d_ff=RECOMMENDER["dim_feedforward"],
            num_layers=RECOMMENDER["n_layers"],
            num_heads=n_heads,
            decoder_start_token_id=0,
        )
    ).eval()

    def allowed(_: int, sent: torch.Tensor) -> list[int]:
        node = tree
        for token in sent[1:].tolist():
            node = node[token]
        return list(node)

    rows = [
        torch.from_numpy(codes[np.searchsorted(model.items_, user)])
        for user in (user[-model.max_history :] for user in users)
    ]
    start = time.perf_counter()
    for at in range(0, len(rows), size):
        parts = [row.flatten() for row in rows[at : at + size]]
        source = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
        t5.generate(
            source,
            attention_mask=(source > 0).long(),
            num_beams=N_BEAMS,
            num_return_sequences=N_BEAMS,
            max_new_tokens=codes.shape[1],
            do_sample=False,
            prefix_allowed_tokens_fn=allowed,
        )
    return time.perf_counter() - start


@torch.inference_mode()
def one_user(
    network: Any, tree: dict, model: GenerativeRecommender, history: np.ndarray
) -> list:
    """Search for one user as `transformers` does: allowed tokens, beam by beam."""
    rows = np.searchsorted(model.items_, history[-model.max_history :])
    source = torch.from_numpy(model.codes_[rows].reshape(1, -1))
    step = network._stepper(source)
    beams = [(0.0, tree)]
    tokens = parents = torch.zeros(1, dtype=torch.int64)
    for column in range(network.n_columns):
        logits = torch.log_softmax(step(column, tokens, parents).double(), dim=1)
        mask = torch.full_like(logits, -torch.inf)
        for i, (_, node) in enumerate(beams):
            mask[i, list(node)] = 0.0
        total = (logits + mask) + torch.tensor([[b[0]] for b in beams]).double()
        best = total.flatten().topk(min(N_BEAMS, int(torch.isfinite(total).sum())))
        parents = best.indices // logits.shape[1]
        tokens = best.indices % logits.shape[1]
        beams = [
            (score, beams[parent][1][token])
            for score, parent, token in zip(
                best.values.tolist(), parents.tolist(), tokens.tolist(), strict=True
            )
        ]
    return [item for _, item in beams]


def time_trie() -> None:
    """Print the time of a large trie."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, SIZE, size=(1_000_000, 4))
    start = time.perf_counter()
    trie = CodeTrie(codes)
    seconds = time.perf_counter() - start
    print(f"\ntrie of {len(trie.rows)} codes: {seconds:.2f} s")


def fit_row(
    row: str, seed: int, X: np.ndarray, train: list[np.ndarray], quick: bool
) -> Any:
    """Return the recommender of a row, fitted."""
    share, items = 4 if quick else 1, np.arange(1, len(X) + 1)
    if row in PEERS:
        return PEERS[row]().fit(train, items=items)
    if row == "SASRec":
        settings = {**SASREC, "max_iter": SASREC["max_iter"] // share}
        return SASRecRecommender(**settings, random_state=seed).fit(train, items=items)
    if TOKENS[row] is None:
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, SIZE, size=(len(X), N_LEVELS))
    else:
        cls, given = TOKENS[row]
        settings = {**TOKENIZER, "max_iter": TOKENIZER["max_iter"] // share, **given}
        codes = cls(N_LEVELS, SIZE, **settings, random_state=seed).fit_transform(X)
    index = CodeIndex().fit(codes, items)
    settings = {**RECOMMENDER, "max_iter": RECOMMENDER["max_iter"] // share}
    return GenerativeRecommender(index, **settings, random_state=seed).fit(train)


def run(row: str, seed: int, quick: bool) -> dict:
    """Fit one row, and rank all items for each user."""
    X, sequences = load_beauty_embeddings(), load_beauty_sequences()
    split = leave_one_out(sequences[::4] if quick else sequences)
    start = time.perf_counter()
    model = fit_row(row, seed, X, split.train, quick)
    fitted = time.perf_counter() - start
    ranked = model.recommend(split.test_histories, 10)
    target = split.test_targets
    return {
        "row": row,
        "seed": seed,
        "quick": quick,
        "recall": recall_at_k(target, ranked, 10, average=False).tolist(),
        "ndcg": ndcg_at_k(target, ranked, 10, average=False).tolist(),
        "recall5": recall_at_k(target, ranked, 5),
        "ndcg5": ndcg_at_k(target, ranked, 5),
        "seconds": [round(fitted), round(time.perf_counter() - start - fitted)],
    }


def print_table(records: list[dict]) -> None:
    """Print means over seeds, and the pooled differences from RQ-VAE."""
    by_row = {row: [r for r in records if r["row"] == row] for row in ROWS}
    print(f"\n{'':18}{'R@5':>8}{'R@10':>8}{'N@5':>8}{'N@10':>8}{'seeds':>7}{'s':>8}")
    for row, found in by_row.items():
        if not found:
            continue
        figures = [
            np.mean([r["recall5"] for r in found]),
            np.mean([r["recall"] for r in found]),
            np.mean([r["ndcg5"] for r in found]),
            np.mean([r["ndcg"] for r in found]),
        ]
        cells = "".join(f"{100 * figure:8.2f}" for figure in figures)
        seconds = np.mean([sum(r["seconds"]) for r in found])
        print(f"{row:18}{cells}{len(found):7}{seconds:8.0f}")
    base = [r["recall"] for r in by_row["RQ-VAE"]]
    for row in ROWS:
        other = [r["recall"] for r in by_row[row]]
        if row != "RQ-VAE" and base and other:
            n = min(len(base), len(other))
            test = paired_bootstrap(other[:n], base[:n], random_state=0)
            gain, low, high = (f"{100 * figure:+.2f}" for figure in test[:3])
            print(
                f"R@10, {row} - RQ-VAE: {gain} ({low} to {high}), p={test.p_value:.3f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("recommendation.jsonl"))
    options = parser.parse_args()
    if "trie" in options.parts:
        time_trie()
    X, sequences = load_beauty_embeddings(), load_beauty_sequences()
    if X is None or sequences is None:
        return
    if "ids" in options.parts:
        time_ids(X)
    if "decoding" in options.parts:
        time_decoding(X, sequences)
    if "table" not in options.parts:
        return
    records = []
    if options.results.exists():
        records = [json.loads(line) for line in options.results.open()]
    done = {(r["row"], r["seed"], r["quick"]) for r in records}
    for seed in range(options.seeds):
        for row in options.rows:
            fixed = row in PEERS and seed > 0
            if fixed or (row, seed, options.quick) in done:
                continue
            records.append(run(row, seed, options.quick))
            with options.results.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    print_table([r for r in records if r["quick"] == options.quick])


if __name__ == "__main__":
    main()
