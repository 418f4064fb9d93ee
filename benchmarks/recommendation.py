"""From codes to recommendations: Amazon Beauty 2014, and what decoding takes.

    python benchmarks/recommendation.py [--parts ids decoding trie table] [--quick]
                                        [--rows SASRec RQ-VAE ...] [--seeds 0 1 2]
                                        [--results recommendation]

``ids``       unique codes for the 12,101 items at 3 x 256: what they cost, how long it
              takes, and whether 1,000 items that come later move any.
``decoding``  beam search (20 beams, 256 users) over the codes of the catalogue, beside
              a dictionary trie walked in Python, one user after the other, with the
              same network: equal results, and the ratio of the times. Beside both,
              `transformers`, if it is installed: a T5 of the same sizes, whose
              ``generate`` asks a function for the tokens that are allowed.
``trie``      the trie of 1,000,000 codes.
``table``     Piekos et al. (2025), Table 2, in kind: Recall and NDCG at 5 and 10 of the
              last item of each user, among all items; the one before it validates, and
              is in the history of the last but never trained on. Random codes, RQ-VAE
              and HRQ-VAE (the paper's residuals and exact ones), made unique by moves,
              under one recommender, beside popularity, item-kNN, a Markov chain and
              SASRec; pooled over seeds, with intervals from resampled users. Codes are
              unique, so that a right code is the right item.

Beauty may not ship: SKHYPER_DATA names its folder, see ``data.py``. The results folder
keeps the codes and each finished row of the table, and nothing that is there is made
again, so that several runs, one after the other or side by side, fill one table.
``--quick`` takes a quarter of the users and one seed, which shows the order.
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
N_ITEMS, N_LEVELS, SIZE = 12_101, 3, 256
N_BEAMS, N_USERS = 20, 256

# one small transformer and one network of tokens for all rows
RECOMMENDER = {
    "d_model": 64,
    "n_layers": 1,
    "dim_feedforward": 256,
    "dropout": 0.1,
    "item_dropout": 0.2,
    "batch_size": 512,
    "learning_rate": 0.005,
    "learning_rate_schedule": "linear",
    "max_iter": 12,
}
TOKENIZER = {"hidden_layer_sizes": (256, 128), "latent_dim": 32, "max_iter": 100}
SASREC = {
    "dropout": 0.4,
    "learning_rate": 0.002,
    "max_iter": 30,
    "n_iter_no_change": 4,
}
PEERS = {
    "popularity": (PopularityRecommender, [{}]),
    "item-kNN": (ItemKNNRecommender, [{"decay": d} for d in (1.0, 0.8, 0.6, 0.4, 0.2)]),
    "Markov": (MarkovRecommender, [{}]),
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
    index = CodeIndex(unique="reassign").fit(codes, np.arange(1, len(X) + 1))
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
        logits = step(column, tokens, parents).double()
        mask = torch.full_like(logits, -torch.inf)
        for i, (_, node) in enumerate(beams):
            mask[i, list(node)] = 0.0
        logits = torch.log_softmax(logits + mask, dim=1)
        total = logits + torch.tensor([[b[0]] for b in beams]).double()
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


def fit_row(row: str, seed: int, split: Any, results: Path) -> Any:
    """Return the recommender of a row, fitted; what is to choose, validation does."""
    items = np.arange(1, N_ITEMS + 1)
    if row in PEERS:
        cls, choices = PEERS[row]
        tried = [cls(**given).fit(split.train, items=items) for given in choices]
        histories, targets = split.validation_histories, split.validation_targets
        recalls = [recall_at_k(targets, m.recommend(histories, 10), 10) for m in tried]
        print(f"{row}: {[*zip(choices, recalls, strict=True)]}")
        return tried[int(np.argmax(recalls))]
    if row == "SASRec":
        model = SASRecRecommender(**SASREC, random_state=seed)
        # the last item is held out: it is that of validation
        return model.fit(split.test_histories, items=items)
    index = make_index(row, seed, results)
    model = GenerativeRecommender(index, **RECOMMENDER, random_state=seed)
    return model.fit(split.train)


def make_index(row: str, seed: int, results: Path) -> CodeIndex:
    """Return the catalogue of a row, by the codes in the results folder."""
    path = results / f"{row} {seed}.npy"
    if not path.exists():
        np.save(path, make_codes(row, seed))
    return CodeIndex(unique="none").fit(np.load(path), np.arange(1, N_ITEMS + 1))


def make_codes(row: str, seed: int) -> np.ndarray:
    """Return the codes of all items, unique, and say what that took."""
    if TOKENS[row] is None:
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, SIZE, size=(N_ITEMS, N_LEVELS))
    else:
        cls, parts = TOKENS[row]
        tokenizer = cls(N_LEVELS, SIZE, **TOKENIZER, **parts, random_state=seed)
        codes = tokenizer.fit_transform(load_beauty_embeddings())
    items = np.arange(1, N_ITEMS + 1)
    index = CodeIndex(unique="reassign").fit(codes, items)
    share = 1 - len(np.unique(codes, axis=0)) / N_ITEMS
    print(f"{row}, seed {seed}: {share:.2%} of codes collide, {index.n_moved_} moved")
    return index.lookup(items)


def run(row: str, seed: int, options: argparse.Namespace) -> dict:
    """Fit one row, and rank all items for each user."""
    sequences = load_beauty_sequences()
    split = leave_one_out(sequences[::4] if options.quick else sequences)
    start = time.process_time()
    model = fit_row(row, seed, split, options.results)
    fitted = time.process_time() - start
    ranked = model.recommend(split.test_histories, 10)
    target = split.test_targets
    validation = model.recommend(split.validation_histories, 10)
    return {
        "row": row,
        "seed": seed,
        "quick": options.quick,
        "recall": recall_at_k(target, ranked, 10, average=False).tolist(),
        "ndcg": ndcg_at_k(target, ranked, 10, average=False).tolist(),
        "recall5": recall_at_k(target, ranked, 5),
        "ndcg5": ndcg_at_k(target, ranked, 5),
        "validation": recall_at_k(split.validation_targets, validation, 10),
        "seconds": fitted,
    }


def print_table(records: list[dict]) -> None:
    """Print means over seeds, and the pooled differences from RQ-VAE."""
    by_row = {row: [r for r in records if r["row"] == row] for row in ROWS}
    names = "".join(f"{name:>8}" for name in ("R@5", "R@10", "N@5", "N@10", "sd R@10"))
    print(f"\n{'':18}{names}{'validation':>13}{'seeds':>7}{'CPU s':>8}")
    for row, found in by_row.items():
        if not found:
            continue
        figures = [
            np.mean([r["recall5"] for r in found]),
            np.mean([r["recall"] for r in found]),
            np.mean([r["ndcg5"] for r in found]),
            np.mean([r["ndcg"] for r in found]),
            np.std([np.mean(r["recall"]) for r in found], ddof=len(found) > 1),
        ]
        cells = "".join(f"{100 * figure:8.2f}" for figure in figures)
        cells += f"{100 * np.mean([r['validation'] for r in found]):13.2f}"
        seconds = np.mean([r["seconds"] for r in found])
        print(f"{row:18}{cells}{len(found):7}{seconds:8.0f}")
    for base in ("RQ-VAE", "SASRec"):
        for row in ROWS:
            pairs = [
                (one["recall"], other["recall"])
                for one in by_row[row]
                for other in by_row[base]
                if row not in (base, *PEERS) and one["seed"] == other["seed"]
            ]
            if pairs:
                test = paired_bootstrap(*zip(*pairs, strict=True), random_state=0)
                gain, low, high = (f"{100 * figure:+.2f}" for figure in test[:3])
                print(
                    f"R@10, {row} - {base}, {len(pairs)} seeds: {gain} ({low} to "
                    f"{high}), p={test.p_value:.3f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("recommendation"))
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
    options.results.mkdir(exist_ok=True)
    for seed in options.seeds or ([0] if options.quick else [0, 1, 2]):
        for row in options.rows:
            name = f"{row} {seed}{' quick' if options.quick else ''}.json"
            path = options.results / name
            if path.exists() or (row in PEERS and seed > 0):
                continue
            path.write_text(json.dumps(run(row, seed, options)))
    records = [
        json.loads(p.read_text()) for p in sorted(options.results.glob("*.json"))
    ]
    print_table([r for r in records if r["quick"] == options.quick])


if __name__ == "__main__":
    main()
