"""
===============================
Mammals: a hierarchy into codes
===============================

WordNet says of every noun what it is a kind of: a poodle is a dog, a dog is a canine, a
canine is a carnivore. From 1,180 mammals and the edges between them this example makes
a picture in the Poincare disk, codes that know what belongs together, and a model that
writes the ancestors of a mammal, token by token, from its code.
"""

# %%
# The data
# --------
# An edge leads from a noun to what it is a kind of. Their transitive closure has all
# pairs of a noun and something above it.
import matplotlib.pyplot as plt
import numpy as np

from skhyper import GenerativeRetriever, HierarchyTokenizer, PoincareEmbedding
from skhyper.datasets import (
    hypernymy_split,
    load_wordnet_mammals,
    transitive_closure,
)
from skhyper.generative import add_counter
from skhyper.metrics import (
    collision_rate,
    composition_recall,
    popularity_recall,
    prefix_coherence,
)
from skhyper.plotting import PoincareDiskDisplay

mammals = load_wordnet_mammals()
pairs = transitive_closure(mammals.edges)
print(mammals.edges[:3])
print(f"{len(mammals.names)} mammals, {len(mammals.edges)} edges, {len(pairs)} pairs")

# %%
# A point for each mammal
# -----------------------
# In the ball of ten dimensions there is room for the whole hierarchy. Everything is a
# mammal, so that one point is pulled by all others, and comes to lie in the middle;
# leaves are pushed apart, and out, where there is most room. The disk shows the two
# principal directions.
ball = PoincareEmbedding(10, max_iter=50, random_state=0).fit(mammals.edges)
print(f"mean average precision: {ball.score(mammals.edges):.2f}")

kinds = ["carnivore.n.01", "rodent.n.01", "ungulate.n.01", "primate.n.02", "bat.n.01"]
kind_of = np.full(len(ball.classes_), "other", dtype=object)
for kind in kinds:
    below = pairs[pairs[:, 1] == kind, 0].astype(str)
    kind_of[np.isin(ball.classes_, [kind, *below])] = kind.split(".")[0]
rows = np.searchsorted(ball.classes_, mammals.edges.astype(str))
PoincareDiskDisplay.from_points(
    ball.embedding_,
    kind_of,
    edges=rows,
    legend=True,
    point_kwargs={"s": 16, "alpha": 0.9},
    line_kwargs={"linewidth": 0.2},
)

# %%
# The nearest neighbors of an animal are what it is, and what else is of its kind. Flat
# space of as many dimensions cannot keep so many apart.
for name in ("dog.n.01", "gorilla.n.01", "blue_whale.n.01"):
    print(name, "->", ", ".join(ball.neighbors([name], k=5)[0]))
flat = PoincareEmbedding(10, geometry="euclidean", max_iter=50, random_state=0)
print(f"in flat space: {flat.fit(mammals.edges).score(mammals.edges):.2f}")

# %%
# Codes
# -----
# The tokenizer learns points and residual codebooks at once. Its first token is the
# coarsest, and what shares it is more alike than chance has it.
tokenizer = HierarchyTokenizer(random_state=0).fit(mammals.edges)
familiar = ["dog", "wolf", "cat", "lion", "horse", "zebra", "gorilla", "chimpanzee"]
familiar = [f"{name}.n.01" for name in familiar]
for name, code in zip(familiar, tokenizer.transform(familiar), strict=True):
    print(f"{name:16} {code}")
print(f"nodes more than codes: {collision_rate(tokenizer.codes_)[-1]:.1%}")

rows = np.searchsorted(tokenizer.classes_, mammals.edges.astype(str))
coherence = prefix_coherence(tokenizer.codes_, rows, random_state=0)
for m, depth in enumerate(coherence.ancestor_depth):
    shared = f"{m} tokens shared" if m else "any two mammals"
    print(f"{shared:16} lowest common ancestor at depth {depth:.1f}")

# %%
# The tree of codes, here with 16 of them a level, is what the ball makes of the
# taxonomy: first tokens lie near the middle, and what begins with them spreads out
# behind them. In flat space, learned in the same way, branches run through one
# another. A color stands for a first token.
_, axes = plt.subplots(1, 2, figsize=(11, 5.6))
for ax, geometry in zip(axes, ("hyperbolic", "euclidean"), strict=True):
    tree = HierarchyTokenizer(3, 16, geometry=geometry, random_state=0)
    tree.fit(mammals.edges)
    PoincareDiskDisplay.from_estimator(tree, tree.classes_, root=True, ax=ax)
    ax.set_title(geometry)

# %%
# Ancestors, written token by token
# ---------------------------------
# Of the pairs, 15 % are held out. Points, codes and the transformer see the others
# only. A last token tells apart the few mammals whose codes are equal, so that an
# answer is a mammal, and not a code that several have.
split = hypernymy_split(mammals.edges, random_state=0)
tokenizer = HierarchyTokenizer(closure=False, random_state=0).fit(split.train)
codes = add_counter(tokenizer.codes_)


def codes_of(labels):
    return codes[np.searchsorted(tokenizer.classes_, labels.astype(str))]


retriever = GenerativeRetriever(max_iter=10, random_state=0)
retriever.fit(codes_of(split.train[:, 0]), codes_of(split.train[:, 1]), catalogue=codes)
found = retriever.score(codes_of(split.test[:, 0]), codes_of(split.test[:, 1]))

# %%
# Two figures without any model tell how hard this is: always the ten commonest
# ancestors, and what follows from the pairs of training, of (dog, canine) and (canine,
# mammal) that a dog is a mammal.
common = popularity_recall(split.train, split.test)
composed = composition_recall(split.train, split.test)
print(f"Recall@10, ten commonest ancestors: {common:.2f}")
print(f"Recall@10, composed from training:  {composed:.2f}")
print(f"Recall@10, written from codes:      {found:.2f}")
