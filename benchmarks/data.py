"""Data that several benchmarks share.

Beauty is read from the folder that the environment variable SKHYPER_DATA names
(``amazon2014/beauty/``: ``minilm_title_384_f16.npy`` and ``minilm_384_f16.npy``,
embeddings of 12,101 items of Amazon Beauty 2014, ``items.jsonl.gz`` with their
categories, and ``sequences.txt.gz``, what users took). It may not ship.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np


def beauty_folder() -> Path | None:
    """Return the folder of Beauty, or say that it is left out."""
    folder = os.environ.get("SKHYPER_DATA")
    if folder is None:
        print("SKHYPER_DATA is not set: Beauty is left out")
        return None
    return Path(folder) / "amazon2014" / "beauty"


def load_beauty() -> tuple[np.ndarray, np.ndarray] | None:
    """Return title embeddings (12,101 x 384, float32) and the top categories."""
    folder = beauty_folder()
    if folder is None:
        return None
    X = np.load(folder / "minilm_title_384_f16.npy").astype(np.float32)
    with gzip.open(folder / "items.jsonl.gz", "rt") as lines:
        paths = [json.loads(line)["categories"][0] for line in lines]
    return X, np.array([path[1] if len(path) > 1 else "" for path in paths])


def load_beauty_embeddings() -> np.ndarray | None:
    """Return embeddings of title, brand and categories, 12,101 x 384, float32.

    Rows are items 1, 2, ... of `load_beauty_sequences`.
    """
    folder = beauty_folder()
    if folder is None:
        return None
    return np.load(folder / "minilm_384_f16.npy").astype(np.float32)


def load_beauty_sequences() -> list[np.ndarray] | None:
    """Return the items of each user, from 1 on, in the order of time."""
    folder = beauty_folder()
    if folder is None:
        return None
    with gzip.open(folder / "sequences.txt.gz", "rt") as lines:
        return [np.array(line.split()[1:], dtype=np.int64) for line in lines]


def load_mnist() -> tuple[np.ndarray, np.ndarray] | None:
    """Return the 10,000 test images of MNIST (rows of 784, in [0, 1]) and their digits.

    They are ``mnist10k/t10k-{images-idx3,labels-idx1}-ubyte.gz`` of the same folder.
    """
    folder = os.environ.get("SKHYPER_DATA")
    if folder is None:
        print("SKHYPER_DATA is not set: MNIST is left out")
        return None
    parts = []
    for name, header in (("images-idx3", 16), ("labels-idx1", 8)):
        with gzip.open(Path(folder) / "mnist10k" / f"t10k-{name}-ubyte.gz") as file:
            parts.append(np.frombuffer(file.read(), np.uint8, offset=header))
    images, digits = parts
    return images.reshape(-1, 784).astype(np.float32) / 255, digits.astype(np.int64)
