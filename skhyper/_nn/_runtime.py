"""Devices, dtypes, seeds and inference: what every use of torch here needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhyper._utils._warn import warn_user

# torch has one generator for all threads; who seeds it has it alone
_SEEDING = threading.RLock()

# Rows of a block of inference. A matrix product may round a row differently when the
# block has another shape, so every block has this one, padded with zeros.
INFERENCE_ROWS = 256


def resolve_device(device: str) -> torch.device:
    """Return the device to use; "auto" takes CUDA, then MPS, then the CPU."""
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={device!r} cannot be used here ({error}). Use "
                "device='auto' or device='cpu'."
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_dtype(dtype: str, data: np.dtype[Any], device: torch.device) -> torch.dtype:
    """Return the dtype of the network.

    "auto" follows the data on the CPU and takes float32 elsewhere, where float64 is
    slow or missing.
    """
    if device.type == "mps" and dtype == "float64":
        warn_user(
            "dtype='float64' is not available on device 'mps'; float32 is used.",
            UserWarning,
        )
        return torch.float32
    if dtype == "auto":
        wide = device.type == "cpu" and data == np.float64
        return torch.float64 if wide else torch.float32
    return torch.float64 if dtype == "float64" else torch.float32


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype that a transformer multiplies matrices in while it trains.

    "auto" takes bfloat16 where the processor has instructions for it.
    """
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # older versions of torch do not tell
        can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        names = ("avx512_bf16", "amx_bf16", "bf16")
        has_it = device.type == "cpu" and any(can.get(name) for name in names)
    return torch.bfloat16 if has_it else torch.float32


def point_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the manifold step: float64 on the CPU, else the network's."""
    return torch.float64 if device.type == "cpu" else dtype


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator, which layers are drawn from, and restore it."""
    devices = [device] if device.type == "cuda" else []
    with _SEEDING, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def to_tensor(
    X: NDArray[Any], dtype: torch.dtype | None, device: torch.device
) -> torch.Tensor:
    """Return `X` as a tensor; read-only or oddly strided arrays are copied first."""
    return torch.from_numpy(np.require(X, requirements=["C", "W"])).to(device, dtype)


@torch.inference_mode()
def apply_in_blocks(
    function: Callable[[torch.Tensor], torch.Tensor],
    X: NDArray[Any],
    dtype: torch.dtype,
    device: torch.device,
    n_rows: int = INFERENCE_ROWS,
) -> NDArray[Any]:
    """Return ``function(X)``; a row's result does not depend on those beside it.

    Of a matrix product; what else rounds a row by its place takes `n_rows` 1.
    """
    blocks = []
    for start in range(0, len(X), n_rows):
        rows = X[start : start + n_rows]
        block = np.zeros((n_rows, X.shape[1]), dtype=X.dtype)
        block[: len(rows)] = rows
        out = function(to_tensor(block, dtype, device))
        blocks.append(out[: len(rows)].cpu().numpy())
    return np.concatenate(blocks)
