"""The grid of positions that have codes, in a picture or a sound."""

from __future__ import annotations

from collections.abc import Sequence

# halvings of each side, by the number of sides: 4 x 4 pixels, or 64 samples
N_STRIDES = {1: 6, 2: 2}


def grid_shape(input_shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return the positions along each side of (channels, *sides); () for None."""
    if input_shape is None:
        return ()
    _, *sides = input_shape
    stride = 2 ** N_STRIDES[len(sides)]
    return tuple(-(-side // stride) for side in sides)
