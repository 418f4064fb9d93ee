"""What an optimizer knows as NumPy arrays, from which training goes on exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def optimizer_arrays(
    optimizer: torch.optim.Optimizer, prefix: str = ""
) -> dict[str, NDArray[Any]]:
    """Return the moments of all parameters as arrays, named ``prefix + "0.step"``."""
    return {
        f"{prefix}{number}.{name}": torch.as_tensor(value).cpu().numpy().copy()
        for number, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def load_optimizer_arrays(
    optimizer: torch.optim.Optimizer, arrays: dict[str, NDArray[Any]], prefix: str = ""
) -> None:
    """Go on from what `optimizer_arrays` gave; other names are passed over."""
    state: dict[int, dict[str, Any]] = {}
    for key, array in arrays.items():
        if key.startswith(prefix):
            number, _, name = key.removeprefix(prefix).partition(".")
            value = torch.from_numpy(np.array(array))
            # geoopt counts its steps by an int, torch by a float tensor
            moment = value if value.is_floating_point() else int(value)
            state.setdefault(int(number), {})[name] = moment
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
