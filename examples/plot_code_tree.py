"""
===============================
The tree that codes are part of
===============================

A code is a path from coarse to fine: its first token says roughly where a row lies,
and every further token refines it. All the codes of a data set therefore form a tree,
and its nodes have places: each prefix can be decoded.

This example encodes the 1012 industries of the North American Industry Classification
System from embeddings of their descriptions, draws the tree in the Poincare disk, and
reads what the tokens have come to mean. The classification itself, with its sectors
and subsectors, is not shown to the estimators.
"""

# %%
# Encode
# ------
# Three levels of eight codes each. Text embeddings share a large mean, so that it is
# taken off first; what is left goes to the ball by the exponential map at the origin.
from collections import Counter

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper import HRQVAETokenizer, HyperbolicResidualQuantizer
from skhyper.datasets import load_naics
from skhyper.metrics import relative_distortion
from skhyper.plotting import PoincareDiskDisplay

naics = load_naics()
model = make_pipeline(
    StandardScaler(with_std=False),
    HyperbolicResidualQuantizer(n_levels=3, codebook_size=8, random_state=0),
)
codes = model.fit_transform(naics.data)
print(codes[:5])

# %%
# Draw
# ----
# Small points are industries, coloured by their first token. Nodes are the prefixes of
# one token and of two, where `inverse_transform` puts them, and arcs are geodesics of
# the disk. The label below the disk says what was lost on the way from 384 dimensions:
# two principal directions hold little of the variance, and were magnified.
display = PoincareDiskDisplay.from_estimator(model, naics.data, depth=2)

# %%
# Read the first token
# --------------------
# What do the industries that share a first token have in common? Here are the
# subsectors met most often among them.
subsectors = naics.target_titles[1][naics.target[:, 1]]
for token in range(8):
    inside = subsectors[codes[:, 0] == token]
    print(f"token {token}, {len(inside)} industries")
    for title, count in Counter(inside).most_common(3):
        print(f"    {count:3d}  {title}")

# %%
# Follow one industry down
# ------------------------
# Each further token leaves fewer industries beside it.
row = list(naics.titles).index("Breakfast Cereal Manufacturing")
for depth in (1, 2, 3):
    same = (codes[:, :depth] == codes[row, :depth]).all(axis=1)
    print(f"{codes[row, :depth]}: {same.sum()} industries, such as")
    for title in naics.titles[same][:3]:
        print(f"    {title}")

# %%
# Compare with the classification
# -------------------------------
# The same points again, coloured by the sector that statisticians gave them.
sectors = naics.target_titles[0][naics.target[:, 0]]
PoincareDiskDisplay.from_estimator(model, naics.data, sectors, depth=1, legend=True)

# %%
# A latent space of two dimensions
# --------------------------------
# A tokenizer learns the space as well as the codes. With two latent dimensions nothing
# has to be projected: this is the disk in which the codes are chosen. They pay for it
# with a larger error of reconstruction.
tokenizer = HRQVAETokenizer(
    n_levels=2,
    codebook_size=8,
    latent_dim=2,
    hidden_layer_sizes=(128, 64),
    max_iter=60,
    random_state=0,
).fit(naics.data)
PoincareDiskDisplay.from_estimator(tokenizer, naics.data, root=True)

# %%
for name, estimator in [("quantizer", model), ("tokenizer", tokenizer)]:
    two_tokens = estimator.transform(naics.data)[:, :2]
    lost = relative_distortion(naics.data, estimator.inverse_transform(two_tokens))
    print(f"{name}: two tokens lose {100 * lost:.1f} % of the variance")

# sphinx_gallery_thumbnail_number = 3
