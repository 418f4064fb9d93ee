"""The parts of transformers over columns of tokens."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from skhyper._nn._codebooks import adamw
from skhyper._nn._runtime import apply_in_blocks

# that of torch's AdamW
WEIGHT_DECAY = 0.01

# standard deviation of new embeddings, as in GPT-2
EMBEDDING_SCALE = 0.02

# keys and values of what is attended to, (n, n_heads, n_columns, width of a head)
KeysValues = tuple[torch.Tensor, torch.Tensor]


def _attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """Return the values' means at each query, in (n, n_heads, n_columns, width).

    A `mask` is added to the logarithms of their weights.
    """
    mask = None if mask is None else mask.to(queries.dtype)
    if queries.device.type != "cpu" or queries.dtype == torch.float32:
        return functional.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=causal
        )
    # torch's kernel for the CPU takes longer in bfloat16 than in float32
    scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-1, -2)
    if causal:
        n_columns = scores.shape[-1]
        mask = scores.new_full((n_columns, n_columns), -torch.inf).triu(1)
    if mask is not None:
        scores = scores + mask
    return torch.softmax(scores, dim=-1) @ values


class Past:
    """Keys and values of the columns that one block has seen, with room for all."""

    def __init__(self, n_columns: int) -> None:
        self._room, self._n_seen = n_columns, 0

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        """Add those of the next column, and return them all."""
        if self._n_seen == 0:
            n_rows, n_heads, _, width = keys.shape
            self._kept = keys.new_empty(2, n_rows, n_heads, self._room, width)
        self._kept[0, :, :, self._n_seen] = keys[:, :, 0]
        self._kept[1, :, :, self._n_seen] = values[:, :, 0]
        self._n_seen += 1
        seen = self._kept[:, :, :, : self._n_seen]
        return seen[0], seen[1]

    def take(self, rows: torch.Tensor) -> None:
        """Go on with some of the rows, repeats allowed."""
        self._kept = self._kept[:, rows]


class Block(nn.Module):
    """Self-attention, then a perceptron, each added to what it was given."""

    def __init__(
        self,
        width: int,
        n_heads: int,
        dropout: float,
        *,
        hidden: int | None = None,
        causal: bool = True,
    ) -> None:
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        self.n_heads, self.causal = n_heads, causal
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        past: Past | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return all columns, or with the `past` of a row the one that comes next.

        A `mask` is added to the logarithms of the weights of attention.
        """
        x = x + self.dropout(self._attend(self.norm_attention(x), past, mask))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))

    def _attend(
        self, x: torch.Tensor, past: Past | None, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        parts = self.queries_keys_values(x).unflatten(-1, (3, self.n_heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = past.append(keys, values)
        mixed = _attention(queries, keys, values, mask, self.causal and past is None)
        return self.mix(mixed.transpose(1, 2).flatten(2))


class Reading(nn.Module):
    """Attention to an encoded source, added to what it was given."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def open(self, source: torch.Tensor) -> KeysValues:
        """Return the keys and values of sources, for all that will read them."""
        parts = self.keys_values(source).unflatten(-1, (2, self.n_heads, -1))
        keys, values = parts.permute(2, 0, 3, 1, 4)
        return keys, values

    def forward(
        self, x: torch.Tensor, source: KeysValues, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Read what `open` has given; several neighbouring rows may share a source."""
        # rows that share one stand side by side, as columns do
        queries = self.queries(self.norm(x)).view(len(source[0]), -1, x.shape[-1])
        queries = queries.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        mixed = _attention(queries, *source, mask)
        mixed = mixed.transpose(1, 2).reshape(x.shape)
        return x + self.dropout(self.mix(mixed))


class CodeModel(nn.Module, ABC):
    """What models of columns of tokens share: all but the way from first to last.

    Columns are level-major: all columns of level 1, then all of level 2. Those of a
    level share an embedding and an output layer.

    Parameters
    ----------
    sizes : sequence of int
        Number of tokens of each level.
    n_columns : int
        A multiple of the number of levels.
    width : int
        Numbers that stand for a column inside the network.
    n_blocks, n_heads : int
        Blocks, and heads of attention in each; `n_heads` divides `width`.
    hidden : int, optional
        Width inside the perceptrons, ``4 * width`` if not given.
    dropout : float
        Share of each block's output that is dropped in training.
    """

    first: torch.Tensor
    # longer gradients of all parameters together are cut to this length
    max_gradient: float | None = None

    def __init__(
        self,
        sizes: Sequence[int],
        n_columns: int,
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_columns, self.n_positions = n_columns, n_columns // len(sizes)
        self.draws = dropout > 0
        self.columns = nn.Parameter(torch.empty(n_columns, width))
        self.tokens = nn.Embedding(sum(sizes), width)
        for table in (self.columns, self.tokens.weight):
            nn.init.normal_(table, std=EMBEDDING_SCALE)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            [Block(width, n_heads, dropout, hidden=hidden) for _ in range(n_blocks)]
        )
        self.norm = nn.LayerNorm(width)
        self.outputs = nn.ModuleList([nn.Linear(width, size) for size in sizes])
        # the rows of the table in which each column's tokens begin
        starts = np.repeat(np.cumsum([0, *sizes[:-1]]), self.n_positions)
        self.register_buffer("first", torch.from_numpy(starts), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.columns.device

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the parameters as NumPy arrays, by name."""
        return {
            name: value.detach().cpu().numpy().copy()
            for name, value in self.state_dict().items()
        }

    def load_weights(self, weights: dict[str, NDArray[Any]]) -> None:
        """Take over what `weights` gave."""
        state = {name: torch.from_numpy(np.array(v)) for name, v in weights.items()}
        self.load_state_dict(state)

    @abstractmethod
    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token given those before it."""

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Return what takes the steps of training."""
        return [adamw(list(self.parameters()), learning_rate, WEIGHT_DECAY)]

    def groups(self, codes: torch.Tensor) -> torch.Tensor | None:
        """Return numbers on the CPU, equal for rows that are better trained together.

        None if that is all the same.
        """
        return None

    def log_likelihood(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log-probability of each row."""
        self.eval()
        nats = apply_in_blocks(self.nats, codes, torch.int64, self.device)
        return -nats.sum(axis=1, dtype=np.float64)

    def _inputs(self, codes: torch.Tensor) -> torch.Tensor:
        """Return what all columns start from, to train on them at once."""
        # a column sees its place and the token before it, the first its place alone
        before = self.tokens(codes[:, :-1] + self.first[:-1])
        return self.dropout(self.columns + functional.pad(before, (0, 0, 1, 0)))

    def _input(self, column: int, before: torch.Tensor) -> torch.Tensor:
        """Return what one column starts from, given the tokens of the one before it.

        Those before the first can be any.
        """
        x = self.columns[column].expand(len(before), 1, -1)
        if column > 0:
            before = before.to(self.device) + self.first[column - 1]
            x = x + self.tokens(before)[:, None]
        return x

    def _logits(self, column: int, x: torch.Tensor) -> torch.Tensor:
        """Return those of one column, for what the blocks have made of it."""
        logits: torch.Tensor = self.outputs[column // self.n_positions](self.norm(x))
        return logits

    def _losses(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token, from the blocks' last."""
        parts = zip(
            self.outputs,
            self.norm(x).split(self.n_positions, dim=1),
            codes.split(self.n_positions, dim=1),
            strict=True,
        )
        return torch.cat([_cross_entropy(out(x), y) for out, x, y in parts], dim=1)


def _cross_entropy(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    flat = functional.cross_entropy(
        logits.flatten(0, 1).float(), tokens.flatten(), reduction="none"
    )
    return flat.view(tokens.shape)
