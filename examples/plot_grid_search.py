"""
======================================
Choose the shape of a code by a search
======================================

How many levels, how many codes in each, and how much curvature? `score` cannot tell: it
is minus the error, and always favours the longer code and the larger codebook. The
scorers of `skhyper.metrics` ask what a search can answer:

* How large is the error *at a given number of bits*?
* How well do the first tokens agree with classes that are known for some rows?
* How many rows share their code?

This example asks all three at once, for the industries of the North American Industry
Classification System, of 16 shapes of code in flat space and in the Poincare ball.
"""

# %%
# The search
# ----------
# Its grid holds the estimator itself: the flat quantizer, and the hyperbolic one at two
# curvatures. The median row lies about half a radius of curvature from the origin at
# curvature 0.1, which is near what "auto" takes, and 1.7 radii at 1.0.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skhyper import HyperbolicResidualQuantizer, ResidualQuantizer
from skhyper.datasets import load_naics
from skhyper.metrics import (
    make_bit_budget_scorer,
    make_collision_scorer,
    make_prefix_agreement_scorer,
)

BITS = 12
LEVELS, SIZES, CURVATURES = [1, 2, 3, 4], [8, 16, 32, 64], [0.1, 1.0]

naics = load_naics()
sectors = naics.target[:, 0]

flat = ResidualQuantizer(n_init=1, random_state=0)
ball = HyperbolicResidualQuantizer(n_init=1, random_state=0)
shape = {"coder__n_levels": LEVELS, "coder__codebook_size": SIZES}
search = GridSearchCV(
    Pipeline([("center", StandardScaler(with_std=False)), ("coder", flat)]),
    [
        {"coder": [flat], **shape},
        {"coder": [ball], "coder__curvature": CURVATURES, **shape},
    ],
    scoring={
        "error": make_bit_budget_scorer(BITS),
        "agreement": make_prefix_agreement_scorer(depth=1),
        "collisions": make_collision_scorer(),
    },
    refit="error",
    cv=KFold(3, shuffle=True, random_state=0),
)
search.fit(naics.data, sectors)

# %%
# The encoders do not look at the sectors. Only the second scorer does, by the adjusted
# mutual information (AMI) of sectors and first tokens, which is near 0 for random
# tokens, however many. Rows are shuffled into the folds, because they come sorted.
#
# Three questions, three answers
# ------------------------------
# Each score has a best shape of its own, and a spread over the three folds.
results = search.cv_results_
for name in ("error", "agreement", "collisions"):
    best = results[f"mean_test_{name}"].argmax()
    params = results["params"][best]
    print(
        f"{name:10} {results[f'mean_test_{name}'][best]:6.3f} "
        f"+- {results[f'std_test_{name}'][best]:.3f}, "
        f"n_levels={params['coder__n_levels']}, "
        f"codebook_size={params['coder__codebook_size']}, "
        f"curvature={params.get('coder__curvature', 'flat')}"
    )

# %%
# All of them at a glance
# -----------------------
# The digits are numbers of levels. On the left they are joined in the order of codebook
# sizes, in the middle in that of levels, and bars show the spread over folds.
COLORS = {"flat": "black", 0.1: "#3f90da", 1.0: "#e0301e"}


def scores(name, curvature):
    """Return means and spreads of a score, a row a level and a column a size."""
    rows = [p.get("coder__curvature", "flat") == curvature for p in results["params"]]
    means, spreads = (results[f"{of}_test_{name}"][rows] for of in ("mean", "std"))
    shape = len(SIZES), len(LEVELS)  # the grid varies its last name fastest
    return means.reshape(shape).T, spreads.reshape(shape).T


def plot_digits(ax, x, y, digits, color):
    ax.plot(x, y, color=color, linewidth=1, alpha=0.4)
    for at_x, at_y, digit in zip(x, y, digits, strict=True):
        ax.plot(at_x, at_y, marker=f"${digit}$", markersize=8, color=color)


bits = np.outer(LEVELS, np.log2(SIZES))
figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(12, 4.8), layout="constrained"
)
for shift, (curvature, color) in enumerate(COLORS.items()):
    lost = -100 * scores("error", curvature)[0]
    taken = -100 * scores("collisions", curvature)[0]
    agreement, spread = scores("agreement", curvature)
    for level, fits in enumerate(bits <= BITS):
        digits = [LEVELS[level]] * fits.sum()
        plot_digits(left, bits[level, fits], lost[level, fits], digits, color)
    whole = np.nonzero(bits == BITS)
    plot_digits(middle, taken[whole], lost[whole], np.array(LEVELS)[whole[0]], color)
    right.errorbar(
        np.array(SIZES) * 1.06 ** (shift - 1),  # side by side
        agreement[0],
        spread[0],
        fmt="o-",
        markersize=4,
        linewidth=1,
        capsize=2,
        color=color,
        label=curvature if curvature == "flat" else f"curvature {curvature}",
    )

left.set_title("Fewer levels lose less at equal bits ...")
left.set(xlabel="bits per row", ylabel="variance lost (%)")
middle.set_title("... and tell fewer rows apart (12 bits)")
middle.set(xlabel="rows whose code is taken (%)", ylabel="variance lost (%)")
right.set_title("Agreement: no clear winner")
right.set(xlabel="codes of the first level", ylabel="AMI of first tokens and sectors")
right.set_xscale("log")
right.set_xticks(SIZES, SIZES)
right.minorticks_off()
for ax in (left, middle, right):
    ax.spines[["top", "right"]].set_visible(False)
figure.legend(loc="outside lower center", ncols=4, frameon=False)

# %%
# All numbers are those of rows that were not fitted.
#
# * Of codes with 12 bits, two tokens of 6 bits lose least of the variance, and three or
#   four smaller tokens tell more rows apart: large codebooks leave little to learn from
#   to the levels below them. They also take more room, 128 vectors against 48 or 32.
# * A curvature of 1.0 costs on both counts. Between 0.1 and flat space neither is ahead
#   for all shapes.
# * First tokens agree with the 20 sectors a little better where they are about as many.
#   No geometry is ahead for all sizes, and the folds differ about as much.
#
# So decide what a code is for before the search, score that, and look at the spread.
