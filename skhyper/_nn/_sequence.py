"""A causal transformer over columns of tokens, and the loop that trains it."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from skhyper._nn._runtime import INFERENCE_ROWS, apply_in_blocks, seeded, to_tensor
from skhyper._nn._train import History, Observer, Settings
from skhyper._utils._warn import warn_user

# standard deviation of new embeddings, as in GPT-2
EMBEDDING_SCALE = 0.02


class Past:
    """Keys and values of the columns that one block has seen, with room for all."""

    def __init__(self, n_columns: int) -> None:
        self._room, self._n_seen = n_columns, 0

    def append(
        self, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add those of the next column, and return them all."""
        if self._n_seen == 0:
            n_rows, n_heads, _, width = keys.shape
            self._kept = keys.new_empty(2, n_rows, n_heads, self._room, width)
        self._kept[0, :, :, self._n_seen] = keys[:, :, 0]
        self._kept[1, :, :, self._n_seen] = values[:, :, 0]
        self._n_seen += 1
        seen = self._kept[:, :, :, : self._n_seen]
        return seen[0], seen[1]


class Block(nn.Module):
    """Causal self-attention, then a perceptron, each added to what it was given."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, past: Past | None = None) -> torch.Tensor:
        """Return all columns, or with the `past` of a row the one that comes next."""
        x = x + self.dropout(self._attend(self.norm_attention(x), past))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))

    def _attend(self, x: torch.Tensor, past: Past | None) -> torch.Tensor:
        parts = self.queries_keys_values(x).unflatten(-1, (3, self.n_heads, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = past.append(keys, values)
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=past is None
        )
        return self.mix(mixed.transpose(1, 2).flatten(2))


class CodeTransformer(nn.Module):
    """The distribution of each token given those in the columns before it.

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
    dropout : float
        Share of each block's output that is dropped in training.

    References
    ----------
    A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019,
    Section 2.3: normalisation before each part of a block, and after the last.
    """

    first: torch.Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        n_columns: int,
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
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
            [Block(width, n_heads, dropout) for _ in range(n_blocks)]
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

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token given those before it."""
        # a column sees its place and the token before it, the first its place alone
        before = self.tokens(codes[:, :-1] + self.first[:-1])
        x = self.dropout(self.columns + functional.pad(before, (0, 0, 1, 0)))
        for block in self.blocks:
            x = block(x)
        parts = zip(
            self.outputs,
            self.norm(x).split(self.n_positions, dim=1),
            codes.split(self.n_positions, dim=1),
            strict=True,
        )
        return torch.cat([_cross_entropy(out(x), y) for out, x, y in parts], dim=1)

    def log_likelihood(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log-probability of each row."""
        self.eval()
        nats = apply_in_blocks(self.nats, codes, torch.int64, self.device)
        return -nats.sum(axis=1, dtype=np.float64)

    def sample(
        self, plan: NDArray[np.float64], n_given: int, temperature: float
    ) -> NDArray[np.int64]:
        """Return codes, drawn a column at a time.

        Parameters
        ----------
        plan : float64 array (n, n_columns)
            Tokens in the first `n_given` columns. In the others the uniform numbers
            that tokens are drawn by, so that a row depends on its own numbers alone.
        n_given : int
            Number of columns that are given.
        temperature : float
            Divides the logits.
        """
        self.eval()
        draw = partial(self._draw, n_given=n_given, temperature=temperature)
        return apply_in_blocks(draw, plan, torch.float64, torch.device("cpu"))

    def _draw(
        self, plan: torch.Tensor, n_given: int, temperature: float
    ) -> torch.Tensor:
        pasts = [Past(self.n_columns) for _ in self.blocks]
        codes = plan.to(torch.int64)
        for column in range(self.n_columns):
            x = self.columns[column].expand(len(plan), 1, -1)
            if column > 0:
                before = codes[:, column - 1 : column].to(self.device)
                x = x + self.tokens(before + self.first[column - 1])
            for block, past in zip(self.blocks, pasts, strict=True):
                x = block(x, past)
            if column >= n_given:
                logits = self.outputs[column // self.n_positions](self.norm(x[:, 0]))
                codes[:, column] = _invert(logits, plan[:, column], temperature)
        return codes


def _cross_entropy(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    flat = functional.cross_entropy(
        logits.flatten(0, 1), tokens.flatten(), reduction="none"
    )
    return flat.view(tokens.shape)


def _invert(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return the tokens at which the distribution function passes `uniform`."""
    logits = logits.cpu().to(torch.float64)  # some devices have no float64
    top = logits.amax(dim=1, keepdim=True)
    total = torch.exp((logits - top) / temperature).cumsum(dim=1)
    target = uniform[:, None] * total[:, -1:]
    return torch.searchsorted(total, target, right=True)[:, 0]


class SequenceTrainer:
    """Fit a `CodeTransformer` by maximum likelihood.

    Parameters
    ----------
    model : CodeTransformer
        The network.
    training : arrays (n, n_columns) and (n,)
        Codes and their weights.
    settings : Settings
        Hyper-parameters.
    observer : Observer
        Told of every epoch.
    validation : arrays, optional
        Codes and weights whose loss then decides.
    """

    def __init__(
        self,
        model: CodeTransformer,
        training: tuple[NDArray[Any], NDArray[Any]],
        settings: Settings,
        observer: Observer,
        validation: tuple[NDArray[Any], NDArray[Any]] | None = None,
    ) -> None:
        self.model, self.settings, self.observer = model, settings, observer
        self.training = self._tensors(*training)
        self.validation = None if validation is None else self._tensors(*validation)
        # on the CPU, so that a seed shuffles the same way on every device
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate
        )

    def run(self, n_epochs: int) -> History:
        """Train until nothing improves, at most `n_epochs`; keep the best weights."""
        history = History(validation_errors=[] if self.validation else None)
        best, lowest, stalled = self._snapshot(), float("inf"), 0
        try:
            for epoch in range(1, n_epochs + 1):
                self.observer.begin()
                loss = error = self._epoch(epoch)
                if self.validation is not None:
                    error = self._error(*self.validation)
                if not self._is_finite(loss + error, epoch, history.best_epoch):
                    break
                history.loss_curve.append(loss)
                history.training_errors.append(loss)
                if history.validation_errors is not None:
                    history.validation_errors.append(error)
                stalled = 0 if error < lowest - self.settings.tol else stalled + 1
                if error < lowest:
                    best, lowest = self._snapshot(), error
                    history.best_epoch = epoch
                if self.observer.end(history):
                    break
                if stalled >= self.settings.n_iter_no_change:
                    break
        except KeyboardInterrupt:
            warn_user(
                "Training was interrupted; the weights of epoch "
                f"{history.best_epoch} are kept."
            )
        self.model.load_state_dict(best)
        return history

    def _tensors(
        self, codes: NDArray[Any], weight: NDArray[Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return codes, and weights of mean 1, on the model's device."""
        device = self.model.device
        return (
            to_tensor(codes, torch.int64, device),
            to_tensor(weight / weight.mean(), torch.float32, device),
        )

    def _epoch(self, number: int) -> float:
        """Take one pass over shuffled batches of nearly equal size."""
        codes, weight = self.training
        total = torch.zeros((), device=codes.device)
        self.model.train()
        with self._own_generator(number):
            order = torch.randperm(len(codes), generator=self._generator)
            n_batches = -(-len(codes) // self.settings.batch_size)
            for rows in order.to(codes.device).tensor_split(n_batches):
                nats = self.model.nats(codes[rows]).mean(dim=1)
                loss = torch.mean(weight[rows] * nats)
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self._optimizer.step()
                total += loss.detach() * (len(rows) / len(codes))
        return float(total)

    def _own_generator(self, number: int) -> Any:
        """Return a context for an epoch: dropout draws from torch's own generator."""
        if not self.model.draws:
            return contextlib.nullcontext()
        return seeded((self.settings.seed + number) % 2**31, self.model.device)

    @torch.no_grad()
    def _error(self, codes: torch.Tensor, weight: torch.Tensor) -> float:
        """Return the loss of rows that are not trained on."""
        self.model.eval()
        parts = zip(
            codes.split(INFERENCE_ROWS), weight.split(INFERENCE_ROWS), strict=True
        )
        total = sum(float(w @ self.model.nats(rows).mean(dim=1)) for rows, w in parts)
        return total / len(codes)

    def _is_finite(self, measure: float, epoch: int, kept: int) -> bool:
        """Whether the loss and every weight are finite; if not, say so."""
        weights = self.model.parameters()
        if math.isfinite(measure) and all(torch.isfinite(w).all() for w in weights):
            return True
        warn_user(
            f"The loss is {measure} after epoch {epoch}, or a weight overflowed; "
            f"training stops with the weights of epoch {kept}. Lower learning_rate."
        )
        return False

    def _snapshot(self) -> dict[str, Any]:
        return copy.deepcopy(self.model.state_dict())
