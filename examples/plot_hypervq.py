"""
====================
Hyperplanes as codes
====================

HyperVQ chooses a code as a classifier chooses a class: by hyperplanes of the ball. Each
hyperplane cuts off a region at the rim, and its point that is nearest to the origin
stands for what lies there. With levels, the hyperplanes of the second divide what those
of the first have left over: residual quantization whose codebooks are HyperVQ's.
"""

# %%
# One level, in a plane
# ---------------------
# Sixteen codes of pictures of digits, in two dimensions, so that the latents can be
# seen, next to a VQ-VAE with the same network.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from skhyper import (
    HRQVAETokenizer,
    HyperVQTokenizer,
    RQVAETokenizer,
    VQVAETokenizer,
)
from skhyper.plotting import LatentDisplay

X, y = load_digits(return_X_y=True)
common = {"hidden_layer_sizes": (128, 64), "max_iter": 60, "random_state": 0}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
for ax, cls in zip(axes, (VQVAETokenizer, HyperVQTokenizer), strict=True):
    tokenizer = cls(codebook_size=16, latent_dim=2, **common).fit(X)
    tokens = tokenizer.predict(X)
    LatentDisplay.from_estimator(tokenizer, X, y, ax=ax)
    ax.set_title(cls.__name__)
    print(
        f"{cls.__name__:17} error {-tokenizer.score(X) / X.var(axis=0).mean():.3f}, "
        f"silhouette {silhouette_score(tokenizer.embed(X), tokens):.2f}"
    )

# %%
# Two levels
# ----------
# Sixteen codes on each level, now in 16 dimensions. How well do the first token, and
# both together, tell the digit, which no tokenizer has seen?
tokenizers = {
    "RQ-VAE": RQVAETokenizer(2, 16, latent_dim=16, **common),
    "HRQ-VAE": HRQVAETokenizer(2, 16, latent_dim=16, **common),
    "HyperVQ": HyperVQTokenizer(2, 16, latent_dim=16, **common),
}
print("         error   used      NMI, first token   both")
for name, tokenizer in tokenizers.items():
    tokenizer.fit(X)
    error = -tokenizer.score(X) / X.var(axis=0).mean()
    nmi = [normalized_mutual_info_score(y, tokenizer.predict(X, k)) for k in (1, 2)]
    used = " ".join(f"{share:4.0%}" for share in tokenizer.codebook_usage_)
    print(f"{name:8} {error:.3f}   {used}   {nmi[0]:.3f}              {nmi[1]:.3f}")

# %%
# With one level, latents lie in clusters at the rim. With two, flat levels have the
# lowest error here, and the first token that tells digits best; the page of benchmarks
# has larger pictures and more seeds.

# %%
# What the levels say
# -------------------
# A row has the picture of a first token, and the pictures of what the second token
# makes of it.
tokenizer = tokenizers["HyperVQ"]
first = np.arange(0, 16, 2)
pairs = np.array([[i, j] for i in first for j in range(0, 16, 2)])
whole = tokenizer.inverse_transform(pairs).reshape(len(first), -1, 8, 8)
prefix = tokenizer.inverse_transform(first[:, None]).reshape(-1, 1, 8, 8)
rows = np.concatenate([prefix, whole], axis=1)
fig, axes = plt.subplots(*rows.shape[:2], figsize=(7, 6.2), layout="constrained")
for ax, picture in zip(axes.flat, rows.reshape(-1, 8, 8), strict=True):
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=16)
    ax.axis("off")
axes[0, 0].set_title("first", fontsize=9)
axes[0, 1].set_title("first and second", fontsize=9, loc="left")
plt.show()
