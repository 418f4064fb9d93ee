"""The posterior of codes behind noisy latents: once, for NumPy and for torch."""

from __future__ import annotations

import math
from typing import Any

# The root mean square length that latents and codes start with, and the first scale of
# the noise: codes start alike, and part as the network finds out what they are for.
# Longer ones would weigh more beside the reconstruction.
FIRST_LENGTH = 0.4

# what the encoder says moves the logarithm of a scale by no more than this: none
# overflows, and none loses its gradient
LARGEST_STEP = 5.0


def posterior_mean(manifold: Any, proba: Any, points: Any) -> Any:
    """Return the weighted gyromidpoints of points, (n, n_dims), a row of weights each.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points are.
    proba : array or tensor of shape (n, n_codes)
        Weights.
    points : array or tensor of shape (n_codes, n_dims)
        The points.
    """
    share = 1.0 / manifold.gap(points)
    space, time = proba @ (share * points), proba @ (share - 0.5)
    return manifold.centroid_from_sums(space, time)


def posterior_logits(xp: Any, kind: str, sq_dist: Any, said: Any, n_dims: int) -> Any:
    """Return the logarithms of the codes' probabilities, up to a constant a row.

    Parameters
    ----------
    xp : module
        `numpy` or `torch`.
    kind : {"gaussian", "reference"}
        "gaussian" has normal densities. "reference" is the authors' code, in which the
        scale multiplies once.
    sq_dist : array or tensor of shape (n, n_codes)
        Squared distances of latents to codes.
    said : array or tensor of shape (n, n_codes)
        What the encoder says of the scales: the logarithm of the power of each that is
        a factor of the probability. Were it that of the scale itself, normal densities
        would be `n_dims` times as quick as the rest of the network, and choose codes by
        it alone.
    n_dims : int
        Dimensions of a latent.
    """
    power = -n_dims if kind == "gaussian" else 1
    step = LARGEST_STEP * xp.tanh(said / (abs(power) * LARGEST_STEP))
    log_scale = step + math.log(FIRST_LENGTH)
    return power * log_scale - 0.5 * sq_dist * xp.exp(-2.0 * log_scale)
