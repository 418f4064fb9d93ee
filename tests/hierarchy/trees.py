"""Small hierarchies that tests share."""

import numpy as np


def full_tree(branching=3, depth=3):
    """Edges (child, parent) of a full tree, with names like "0.2.1"."""
    level, edges = ["0"], []
    for _ in range(depth):
        level = [(f"{name}.{i}", name) for name in level for i in range(branching)]
        edges += level
        level = [child for child, _ in level]
    return np.array(edges)
