"""
=====================================
Codes of pictures, and pictures anew
=====================================

With `input_shape`, a tokenizer gives each picture a grid of codes, one for each 4 x 4
pixels. A prior over the codes then says how likely a picture is, and draws new ones.
The pictures here are the 1797 small digits that scikit-learn brings along.
"""

# %%
# Encode
# ------
# Rows stay flat; the shape says what they are. A picture of 8 x 8 pixels has a grid of
# 2 x 2 positions, and two levels of codes at each.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skhyper import HRQVAETokenizer, TokenPrior
from skhyper.generative import reconstruction_scale
from skhyper.plotting import CodebookUsageDisplay, ReconstructionDisplay

X = load_digits().data / 16
X_train, X_test = train_test_split(X, random_state=0)
tokenizer = HRQVAETokenizer(
    n_levels=2,
    codebook_size=32,
    latent_dim=16,
    input_shape=(1, 8, 8),
    n_channels=32,
    max_iter=60,
    random_state=0,
)
codes = tokenizer.fit_transform(X_train)
print("codes of a picture:", codes.shape[1], "folded:", tokenizer.codes_shape_)
print(codes[0].reshape(tokenizer.codes_shape_))

# %%
# Decode
# ------
# The first level alone gives coarse pictures, and the second refines them.
display = ReconstructionDisplay.from_estimator(tokenizer, X_test, depths=(1, 2))

# %%
# Are all codes in use? A codebook that has collapsed would show as a cliff.
display = CodebookUsageDisplay.from_estimator(tokenizer, X_train)

# %%
# A prior over the codes
# ----------------------
# The columns of one level share their vocabulary. `score_samples` gives the likelihood
# of codes, and `bits_per_dim` that of pictures: codes, and pixels given the codes. A
# uniform prior would need 5 bits for each of the eight codes.
prior = TokenPrior(n_levels=2, max_iter=40, random_state=0).fit(codes)
test_codes = tokenizer.transform(X_test)
print(f"bits a code: {-prior.score(test_codes) / np.log(2) / codes.shape[1]:.2f}")

scale = reconstruction_scale(
    X_train, tokenizer.inverse_transform(codes), bin_width=1 / 16
)
bits = prior.bits_per_dim(X_test, tokenizer, bin_width=1 / 16, scale=scale)
print(f"bits a pixel, of 17 grey values: {bits:.2f}")

# %%
# New pictures
# ------------
# Above, codes drawn at random, as a uniform prior would; below, drawn from the prior.
rng = np.random.RandomState(0)
random_codes = rng.randint(32, size=(12, codes.shape[1]))
drawn = prior.sample(12, random_state=0)
rows = [tokenizer.inverse_transform(c) for c in (random_codes, drawn)]
fig, axes = plt.subplots(2, 1, figsize=(7.5, 2.8), layout="constrained")
for ax, pictures, title in zip(axes, rows, ("uniform", "prior"), strict=True):
    mosaic = np.hstack(pictures.reshape(-1, 8, 8))
    ax.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
