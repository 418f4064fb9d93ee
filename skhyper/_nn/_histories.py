"""A transformer from the codes of past items to that of the next, and its beam search.

A sequence is encoded once for all of its items that are to be predicted, since an item
is read with those before it alone. How far back an item lies shifts the attention that
it gets, as in T5. A token competes with those alone that codes of the catalogue have
after the same prefix, in training as in the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from skhyper._nn._choices import Choices
from skhyper._nn._codebooks import adamw
from skhyper._nn._transformer import WEIGHT_DECAY, KeysValues
from skhyper._nn._translator import CodeTranslator, Reader, Step
from skhyper._utils._trie import CodeTrie

# what attention is shifted by where there is nothing to attend to: no probability
NEVER = -1e9


class HistoryTranslator(CodeTranslator):
    """The distribution of each token of the next item's code, given a history.

    A history is a row of codes, one after the other, the oldest first, and -1 after the
    last. An item is read as the sum of its tokens' embeddings. `nats` takes a row for
    several items of a sequence: how many it begins with that are not to be predicted,
    and the codes of all.

    Parameters
    ----------
    sizes : sequence of int
        Number of tokens of each column of a code.
    max_history : int
        The most items of a history.
    trie : CodeTrie
        The codes that there are, whose probabilities add up to 1.
    prefixes : bool
        Whether each prefix of these codes has a vector of its own beside its tokens'.
    item_dropout : float
        Share of the items of histories that are hidden in training.
    width, n_blocks, n_heads, hidden, dropout
        As in `CodeModel`, of encoder and decoder.

    References
    ----------
    C. Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
    Text-to-Text Transformer", JMLR 2020, Section 2.1: attention by distance.

    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024:
    steps of the matrices between embeddings and logits.

    F. Morin, Y. Bengio, "Hierarchical Probabilistic Neural Network Language Model",
    AISTATS 2005: a choice among what there is, at each step down a tree.
    """

    within = True

    def __init__(
        self,
        sizes: Sequence[int],
        max_history: int,
        trie: CodeTrie,
        *,
        n_heads: int,
        prefixes: bool = False,
        item_dropout: float = 0.0,
        **shape: Any,
    ) -> None:
        super().__init__(sizes, None, 1, n_heads=n_heads, **shape)
        self.trie, self.choices = trie, Choices(trie)
        self.item_dropout = item_dropout
        self.draws = self.draws or item_dropout > 0
        # tokens are read and written by the same vectors, as in T5
        self.outputs = nn.ModuleList()
        bounds = np.cumsum([0, *sizes]).tolist()
        self.often = nn.Parameter(torch.zeros(bounds[-1]))  # how likely each is at all
        self._own = [slice(*pair) for pair in itertools.pairwise(bounds)]
        # what single items and groups of them are like, beyond what their tokens say
        self.prefixes = None
        if prefixes:
            self.prefixes = nn.Embedding(self.choices.first[-1], self.columns.shape[1])
            nn.init.zeros_(self.prefixes.weight)
        # Of the encoder and of the readings, a number for each distance in items. It
        # starts by falling, in each head more slowly than in the one before (Press et
        # al., "Train Short, Test Long", 2022).
        slope = 4.0 * 2.0 ** (-8.0 * torch.arange(n_heads) / n_heads)
        fall = -slope[:, None] * torch.arange(max_history)
        self.recency = nn.Parameter(fall.repeat(2, 1, 1))

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Return Muon for the matrices of the blocks, and AdamW for all else.

        Muon's steps are as long as AdamW's, so that both take one rate.
        """
        inner = (self.encoder, self.readings, self.blocks)
        matrices = [w for part in inner for w in part.parameters() if w.ndim == 2]
        known = set(matrices)
        others = [weight for weight in self.parameters() if weight not in known]
        muon = torch.optim.Muon(
            matrices,
            lr=learning_rate,
            weight_decay=WEIGHT_DECAY,
            adjust_lr_fn="match_rms_adamw",
        )
        return [muon, adamw(others, learning_rate, WEIGHT_DECAY)]

    def taken_over(
        self, weights: dict[str, NDArray[Any]], codes: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Return the weights of a network of fewer codes, for this one.

        The vectors of prefixes that are new are 0: at first their tokens say all.
        """
        if self.prefixes is None:
            return weights
        table = np.zeros(self.prefixes.weight.shape, dtype=np.float32)
        new, old = (
            Choices(trie).prefixes(torch.from_numpy(codes))
            for trie in (self.trie, CodeTrie(codes))
        )
        table[new] = weights["prefixes.weight"][old]
        return {**weights, "prefixes.weight": table}

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the mean log-probability of the items to predict, (n, 1)."""
        first, items = codes[:, :1], codes[:, 1:].unflatten(1, (-1, self.n_columns))
        target = items[:, 1:].flatten(0, 1)
        opened, reading = self._read(items[:, :-1].flatten(1))
        x = self._decode(target.clamp(min=0), opened, reading)
        place = torch.arange(1, items.shape[1], device=codes.device)
        wanted = (place >= first) & (items[:, 1:, 0] >= 0)
        each = wanted.flatten()
        nats = self._losses(x[each], target[each]).mean(dim=1)
        means = torch.zeros_like(wanted, dtype=nats.dtype).masked_scatter(wanted, nats)
        return (means.sum(dim=1) / wanted.sum(dim=1))[:, None]

    def _logits(self, column: int, x: torch.Tensor) -> torch.Tensor:
        own = self._own[column]
        return functional.linear(self.norm(x), self.tokens.weight[own], self.often[own])

    def _losses(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token among those that can follow.

        Codes are those of the catalogue.
        """
        nodes, nats = torch.zeros_like(codes[:, 0]), []
        for level, given in enumerate(codes.T):
            tokens, exists = self.choices(level, nodes)
            logits = self._logits(level, x[:, level]).float().gather(1, tokens)
            logits = logits.masked_fill(~exists, -torch.inf)
            nodes, taken = self.choices.follow(level, nodes, given.contiguous())
            nats.append(functional.cross_entropy(logits, taken, reduction="none"))
        return torch.stack(nats, dim=1)

    def _reader(self, source: torch.Tensor) -> Reader:
        """Return what the decoder reads of histories after their last items."""
        opened, reading = self._read(source)
        last = (source[:, :: self.n_columns] >= 0).sum(dim=1) - 1
        # each token of what comes next reads as the first does
        mask = reading[:, last * self.n_columns].transpose(0, 1)[:, :, None]
        return opened, mask

    def _read(self, source: torch.Tensor) -> tuple[list[KeysValues], torch.Tensor]:
        """Return what can be read of histories, and what is added from each place.

        Items after the last hold nothing that a place before them sees.
        """
        items = source.clamp(min=0).unflatten(1, (-1, self.n_columns))
        encoder, reading = self._shifts(items.shape[1])
        x = self.tokens(items + self.first).sum(dim=2)
        if self.prefixes is not None:
            x = x + self.prefixes(self.choices.prefixes(items)).sum(dim=2)
        x = self._hide(self.dropout(x + self.source_columns))
        for block in self.encoder:
            x = block(x, mask=encoder)
        return self._open(self.source_norm(x)), reading

    def _inputs(self, codes: torch.Tensor) -> torch.Tensor:
        x = super()._inputs(codes)
        if self.prefixes is None:
            return x
        before = self.prefixes(self.choices.prefixes(codes)[:, :-1])
        return x + functional.pad(before, (0, 0, 1, 0))

    def _starter(self) -> Step:
        nodes = torch.zeros(0, dtype=torch.int64)

        def start(
            column: int, tokens: torch.Tensor, parents: torch.Tensor
        ) -> torch.Tensor:
            nonlocal nodes
            x = self._input(column, tokens)
            if column == 0:
                nodes = torch.zeros_like(tokens, device=self.device)
            elif self.prefixes is not None:
                parents, tokens = parents.to(self.device), tokens.to(self.device)
                nodes, _ = self.choices.follow(column - 1, nodes[parents], tokens)
                x = x + self.prefixes(nodes + self.choices.first[column - 1])[:, None]
            return x

        return start

    def _hide(self, x: torch.Tensor) -> torch.Tensor:
        """Return items, (n, n_items, width), some of which are 0 in training."""
        if not self.training or self.item_dropout == 0:
            return x
        return x * (torch.rand_like(x[:, :, :1]) >= self.item_dropout)

    def _shifts(self, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is added to attention, of encoder and readings.

        An item sees itself and those before it; so do the tokens of the one after it.
        """
        place = torch.arange(n_items, device=self.device)
        back = place[:, None] - place
        shift = self.recency[:, :, back.clamp(min=0)].masked_fill(back < 0, NEVER)
        return shift[0], shift[1].repeat_interleave(self.n_columns, 1)
