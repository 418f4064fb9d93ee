"""
=====================================
Recommendation, written code by code
=====================================

A shop has items with descriptions, and users with histories. Semantic ids turn the
descriptions into short codes, in which what is alike begins alike; a generative
recommender then writes the code of the next item, token by token. This example goes the
whole way on a small store: codes, a report on them, ids that are one of a kind, the
recommender, and what simple methods do on the same data.
"""

# %%
# The store
# ---------
# Real sequences of users may not ship, so that these are generated: the items are 1,012
# industries, with embeddings of their descriptions, and users walk on the tree that the
# industries form. The last item of each user is for the test.
import matplotlib.pyplot as plt
import numpy as np

from skhyper import (
    CodeIndex,
    GenerativeRecommender,
    HyperbolicResidualQuantizer,
    ItemKNNRecommender,
    MarkovRecommender,
    PopularityRecommender,
)
from skhyper.datasets import leave_one_out, make_store
from skhyper.metrics import code_report, paired_bootstrap, recall_at_k

store = make_store(n_users=1000, random_state=0)
split = leave_one_out(store.sequences)
train = split.test_histories
print(f"{len(train)} users, {sum(map(len, train))} events, {len(store.item_ids)} items")

# %%
# Codes, and what they are worth
# ------------------------------
# Three levels of 32 codes, from the embeddings alone. The report says what should be
# known before anything is built on them.
quantizer = HyperbolicResidualQuantizer(3, 32, random_state=0).fit(store.data)
codes = quantizer.transform(store.data)
report = code_report(
    codes, X=store.data, y=store.target[:, 0], tokenizer=quantizer, random_state=0
)
print(report)

# %%
report.plot()

# %%
# Ids that are one of a kind
# --------------------------
# Some items have one code. The index moves all but one of them to free codes near by;
# what that costs is the extra distortion.
index = CodeIndex(unique="reassign").fit(codes, store.item_ids, quantizer, store.data)
extra = index.extra_distortion_ / index.distortion_
print(f"{index.n_moved_} of {len(index)} items moved, at {extra:.1%} more distortion")

# %%
# A prefix is a shelf of the store:
title_of = dict(zip(store.item_ids, store.titles, strict=True))
(shelf,) = index.prefix(index.lookup(["311811"])[:, :2])
for item in shelf:
    print(item, title_of[item])

# %%
# The next item
# -------------
# The recommender reads the codes of a history and writes that of the next item; a beam
# search keeps to codes that items have. Beside it are random codes, which know nothing
# of the descriptions, and methods without any code.
settings = {"d_model": 64, "dim_feedforward": 128, "max_iter": 20, "random_state": 0}
random_codes = np.random.default_rng(0).integers(0, 32, size=codes.shape)
random_index = CodeIndex(unique="reassign").fit(random_codes, store.item_ids)
recommenders = {
    "popularity": PopularityRecommender(),
    "item-kNN": ItemKNNRecommender(),
    "Markov chain": MarkovRecommender(),
    "random codes": GenerativeRecommender(random_index, **settings),
    "semantic ids": GenerativeRecommender(index, **settings),
}
hits = {}
for name, recommender in recommenders.items():
    ranked = recommender.fit(train).recommend(train, k=10)
    hits[name] = recall_at_k(split.test_targets, ranked, k=10, average=False)
    print(f"{name:14} Recall@10 {hits[name].mean():.3f}")

# %%
# Whether a difference is more than luck, users tell who are drawn again:
gain = paired_bootstrap(hits["semantic ids"], hits["random codes"], random_state=0)
print(f"semantic - random: {gain.difference:.3f} ({gain.low:.3f} to {gain.high:.3f})")

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.barh(list(hits), [hit.mean() for hit in hits.values()], color="#4c72b0")
ax.set_xlabel("Recall@10 of each user's last item")
ax.invert_yaxis()

# %%
# Codes that know the descriptions are worth more than codes that do not. Here the
# chain that counts what follows what is ahead of all: in this store the last item alone
# decides half of the steps, and there are few users for a network to learn from. Look
# at such simple methods before trusting any other, on your own data too.
