"""The posterior of codes behind noisy latents: once, for NumPy and for torch."""

from __future__ import annotations

from typing import Any

# what the encoder says of a scale moves its logarithm by no more than this
LARGEST_STEP = 5.0


def posterior_logits(
    xp: Any, kind: str, sq_dist: Any, log_scale: Any, n_dims: int
) -> Any:
    """Return the logarithms of the codes' probabilities, up to a constant a row.

    Parameters
    ----------
    xp : module
        `numpy` or `torch`.
    kind : {"gaussian", "reference"}
        "gaussian" has normal densities. "reference" is the authors' code, in which the
        scale multiplies once.
    sq_dist, log_scale : array or tensor of shape (n, n_codes)
        Squared distances of latents to codes, and the logarithms of the noise's scales,
        bounded here: no scale may overflow, and none loses its gradient.
    n_dims : int
        Dimensions of a latent.
    """
    s = LARGEST_STEP * xp.tanh(log_scale / LARGEST_STEP)
    factor = -n_dims if kind == "gaussian" else 1.0
    return factor * s - 0.5 * sq_dist * xp.exp(-2.0 * s)
