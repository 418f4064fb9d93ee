"""The contrastive loss of a hierarchy's pairs, with its gradient in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import embedding

# slots of the hash table for each known pair: few strangers then need a search
SLOTS_A_PAIR = 16

# an odd number near 2^63 / golden ratio: its multiples are spread over all bits
SPREAD = 0x4F1BBCDCBFA53E0B


class KnownPairs:
    """The pairs of nodes that are no negatives: those of the hierarchy, and (u, u).

    A small hash table answers for nearly all strangers; only what it lets through is
    looked up by a search.

    Parameters
    ----------
    pairs : int64 tensor of shape (n_pairs, 2)
        Node and ancestor.
    n_nodes : int
        Number of nodes.
    """

    def __init__(self, pairs: torch.Tensor, n_nodes: int) -> None:
        self._n_nodes = n_nodes
        selves = torch.arange(n_nodes, device=pairs.device) * (n_nodes + 1)
        keys = torch.cat([pairs[:, 0] * n_nodes + pairs[:, 1], selves])
        self._keys = torch.unique(keys)
        n_bits = max(10, (SLOTS_A_PAIR * len(self._keys) - 1).bit_length())
        self._shift, self._mask = 63 - n_bits, (1 << n_bits) - 1
        self._table = torch.zeros(1 << n_bits, dtype=torch.bool, device=pairs.device)
        self._table[self._slots(self._keys)] = True

    def __call__(self, heads: torch.Tensor, tails: torch.Tensor) -> torch.Tensor:
        """Return which of the tails (n, m) of heads (n,) are known."""
        keys = heads[:, None] * self._n_nodes + tails
        known = self._table[self._slots(keys)]
        maybe = keys[known]
        at = torch.searchsorted(self._keys, maybe).clamp(max=len(self._keys) - 1)
        known[known.clone()] = self._keys[at] == maybe
        return known

    def _slots(self, keys: torch.Tensor) -> torch.Tensor:
        return ((keys * SPREAD) >> self._shift) & self._mask


def pair_gradient(
    manifold: Any,
    points: torch.Tensor,
    heads: torch.Tensor,
    tails: torch.Tensor,
    excluded: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of a batch of pairs, and its gradient at all points.

    The loss is the cross entropy of the first tail among all tails of a head, with
    minus twice the half distance as the logit: on the ball the distance itself
    (Nickel & Kiela 2017, Equation 6). By hand it takes half of autograd's time,
    which goes into passes over the (n, m, dim) differences.

    Parameters
    ----------
    manifold : Euclidean or PoincareBall
        Where the points live.
    points : tensor of shape (n_nodes, dim)
        One point a node.
    heads, tails : int64 tensors of shape (n,) and (n, m)
        Nodes; the first tail is the true one.
    excluded : bool tensor of shape (n, m)
        Tails that do not count.
    """
    c, gap = manifold.c, manifold.gap(points)
    flat = tails.reshape(-1)
    product = gap[heads] * embedding(flat, gap).view(tails.shape)
    # the differences, and their multiples below, take the room of the tails
    rest = embedding(flat, points).view(*tails.shape, -1).sub_(points[heads, None])
    chord = torch.einsum("nmd,nmd->nm", rest, rest) / product
    logits, slope = _logits(c, chord)
    logits = logits.masked_fill(excluded, -torch.inf)
    loss = (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean()

    pull = torch.softmax(logits, dim=1)
    pull[:, 0] -= 1.0
    pull = pull * slope / len(heads)
    rest.mul_((2.0 * pull / product)[:, :, None])
    gradient = torch.zeros_like(points)
    gradient.index_add_(0, flat, rest.view(-1, points.shape[1]))
    gradient.index_add_(0, heads, rest.sum(dim=1), alpha=-1.0)
    if c:  # the gap of a point depends on it, too
        share = 2.0 * c * pull * chord
        outward = torch.zeros_like(gap)
        outward.index_add_(0, flat, share.view(-1, 1))
        outward.index_add_(0, heads, share.sum(dim=1, keepdim=True))
        gradient += (outward / gap) * points
    return loss, gradient


def _logits(c: float, chord: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return minus twice the half distance of squared chords, and its derivative."""
    root = torch.sqrt(chord)
    # equal points have no direction to be pulled in
    inverse = torch.where(chord > 0.0, 1.0 / root, torch.zeros_like(root))
    if c == 0:
        return -2.0 * root, -inverse
    grown = torch.sqrt(1.0 + c * chord)
    s = c**0.5
    # asinh(t), in a form that takes a tenth of the time of torch's
    return (-2.0 / s) * torch.log(s * root + grown), -inverse / grown
