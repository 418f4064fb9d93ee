"""
==============================
The codes behind each decision
==============================

A `HyperVQClassifier` sees each row as one of a few codes, and predicts from the code
alone. So there are no more reasons than codes, and each can be looked at: the decoder
turns it into a picture.
"""

# %%
# Fit
# ---
# Forty codes for ten digits. The classifier works in pipelines and searches as any
# other, and its probabilities can be calibrated.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper import HyperbolicLogisticRegression, HyperVQClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
classifier = HyperVQClassifier(
    codebook_size=40, hidden_layer_sizes=(128,), latent_dim=16, random_state=0
)
classifier.fit(X_train, y_train)
print(f"HyperVQClassifier            {classifier.score(X_test, y_test):.3f}")

# %%
# The regression that codes are the classes of is an estimator of its own, and in flat
# space it is scikit-learn's.
for model in (HyperbolicLogisticRegression(), LogisticRegression(max_iter=1000)):
    pipeline = make_pipeline(StandardScaler(), model).fit(X_train, y_train)
    print(f"{type(model).__name__:28} {pipeline.score(X_test, y_test):.3f}")

# %%
# Every reason there is
# ---------------------
# Each code decoded, with the class that it stands for, by class.
codes = np.arange(40)[:, None]
pictures = classifier.inverse_transform(codes).reshape(-1, 8, 8)
tokens = classifier.transform(X_train)[:, 0]
predicted = classifier.predict(X_train)
meaning = [predicted[tokens == k][0] if (tokens == k).any() else -1 for k in range(40)]
order = np.argsort(meaning, kind="stable")
fig, axes = plt.subplots(4, 10, figsize=(8, 3.9), layout="constrained")
for ax, k in zip(axes.flat, order, strict=True):
    ax.imshow(pictures[k], cmap="gray_r")
    ax.set_title("-" if meaning[k] < 0 else meaning[k], fontsize=9, pad=2)
    ax.axis("off")

# %%
# A decision, explained
# ---------------------
# Rows of the test set that were taken for something else, above the codes that they
# were taken for.
wrong = np.flatnonzero(classifier.predict(X_test) != y_test)[:8]
reasons = classifier.inverse_transform(classifier.transform(X_test[wrong]))
fig, axes = plt.subplots(2, len(wrong), figsize=(8, 2.3), layout="constrained")
for column, (i, reason) in enumerate(zip(wrong, reasons, strict=True)):
    for ax, picture in zip(axes[:, column], (X_test[i], reason), strict=True):
        ax.imshow(picture.reshape(8, 8), cmap="gray_r")
        ax.axis("off")
    axes[0, column].set_title(f"{y_test[i]}", fontsize=9, pad=2)
    said = classifier.predict(X_test[i : i + 1])[0]
    axes[1, column].set_title(f"said {said}", fontsize=9, pad=2)
plt.show()
