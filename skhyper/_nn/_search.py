"""Which code each point of a batch takes in training: nearest, balanced, or by beam.

Here a matrix product's own rounding is good enough; the codes that users get come from
`skhyper.quantizers._stack`, which is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

# Balanced assignment: how soft the transport plan is, in shares of the mean deviation
# of the costs; the most rounds of scaling its rows and columns on logarithms, and the
# rounds on plain numbers that follow each.
SINKHORN_EPSILON = 0.05
SINKHORN_ROUNDS = 5
PLAIN_ROUNDS = 10
# it ends when no code's mass is farther than this, in logarithms, from its share
SINKHORN_TOL = 1e-3

Assign = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def code_scores(manifold: Any, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return ``|x - c_k|^2 / A_k``, (..., n, n_codes): a row's order of the codes."""
    weight = 1.0 / manifold.gap(codes)
    # [x, |x|^2, 1] . [-2 w c, w, w |c|^2]: one product does it all
    table = torch.cat([-2.0 * weight * codes, weight, weight * _square(codes)], dim=-1)
    return torch.cat([x, _square(x), torch.ones_like(x[..., :1])], dim=-1) @ table.mT


def _square(x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...d,...d->...", x, x)[..., None]


def nearest(cost: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the code of lowest cost of each row."""
    if cost.device.type == "cpu":  # NumPy's argmin takes a tenth of the time
        return torch.from_numpy(cost.numpy().argmin(axis=-1))
    return cost.argmin(dim=-1)


def balanced(cost: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return codes such that all of them are taken about equally often.

    Entropic optimal transport from weighted rows to codes of equal mass, by Sinkhorn's
    iteration on logarithms; each row takes the code that gets most of its mass. Used
    like this by LC-Rec (Zheng et al., ICDE 2024, Section 3.2), there for the last level
    only.
    """
    if len(cost) == 1:
        return nearest(cost, weight)
    # what belongs to a row or to a code alone decides nothing, and hides the rest
    cost = cost - cost.mean(dim=1, keepdim=True)
    cost = cost - cost.mean(dim=0, keepdim=True)
    spread = torch.clamp(cost.abs().mean(), min=torch.finfo(cost.dtype).tiny)
    plan = -cost / (SINKHORN_EPSILON * spread)
    # the mass of a row, such that a code's share is 1
    mass = (weight / weight.sum() * cost.shape[1]).to(cost.dtype)[:, None]
    for _ in range(SINKHORN_ROUNDS):
        plan = plan + torch.log(mass) - plan.logsumexp(dim=1, keepdim=True)
        surplus = plan.logsumexp(dim=0, keepdim=True)
        plan = plan - surplus
        if surplus.abs().max() < SINKHORN_TOL:
            break
        plan = plan + _scalings(plan.exp(), mass)
    return plan.argmax(dim=1)


def _scalings(kernel: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
    """Return what some rounds on plain numbers add to the logarithm of a plan.

    Between two rounds on logarithms, which take ten times as long, the plan is near
    enough to its masses for that (Schmitzer 2019, Section 3.1).
    """
    tiny = torch.finfo(kernel.dtype).tiny
    rows, codes = torch.ones_like(mass), torch.ones_like(kernel[:1]).mT
    for _ in range(PLAIN_ROUNDS):
        rows = mass / (kernel @ codes).clamp(min=tiny)
        codes = 1.0 / (kernel.mT @ rows).clamp(min=tiny)
    return torch.log(rows.clamp(min=tiny)) + torch.log(codes.clamp(min=tiny)).mT


ASSIGNMENTS: dict[str, Assign] = {"nearest": nearest, "balanced": balanced}


@torch.no_grad()
def greedy(
    manifold: Any,
    rule: Any,
    z: torch.Tensor,
    books: Sequence[torch.Tensor],
    weight: torch.Tensor,
    assign: Assign = nearest,
) -> list[torch.Tensor]:
    """Return the code of each level, taken one level after the other."""
    codes, residual = [], z
    for level, book in enumerate(books):
        codes.append(assign(code_scores(manifold, residual, book), weight))
        if level + 1 < len(books):
            residual = rule.subtract(manifold, residual, book[codes[-1]])
    return codes


@torch.no_grad()
def beam(
    manifold: Any,
    rule: Any,
    z: torch.Tensor,
    books: Sequence[torch.Tensor],
    weight: torch.Tensor,
    beam_size: int,
) -> list[torch.Tensor]:
    """Return the codes whose reconstruction is nearest, of a beam and of `greedy`."""
    n, dim = z.shape
    residual = z[:, None, :]
    live = torch.zeros((n, 1, 0), dtype=torch.int64, device=z.device)
    for book in books:
        cost = code_scores(manifold, residual, book) / manifold.gap(residual)
        width = min(beam_size, cost.shape[1] * cost.shape[2])
        flat = cost.flatten(1).topk(width, dim=1, largest=False).indices
        parent, token = flat // len(book), flat % len(book)
        live = torch.cat([_take(live, parent), token[..., None]], dim=-1)
        residual = rule.subtract(
            manifold, _take(residual, parent), book[token].reshape(n, width, dim)
        )
    first = torch.stack(greedy(manifold, rule, z, books, weight), dim=-1)
    live = torch.cat([first[:, None, :], live], dim=1)
    chosen = [book[column] for book, column in zip(books, live.unbind(-1), strict=True)]
    error = manifold.sq_chord(rule.fold(manifold, chosen), z[:, None, :])
    best = _take(live, error.argmin(dim=1, keepdim=True))[:, 0]
    return list(best.unbind(-1))


def _take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return ``values[i, index[i, j]]``."""
    return values.gather(1, index[..., None].expand(*index.shape, values.shape[-1]))
