"""A transformer from source tokens to the tokens of a code, and its beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skhyper._nn._runtime import apply_in_blocks
from skhyper._nn._transformer import (
    EMBEDDING_SCALE,
    Block,
    CodeModel,
    KeysValues,
    Past,
    Reading,
)
from skhyper._utils._trie import CodeTrie

# rows that pass the decoder at once in a beam search: the beams of a block of sources
BEAM_ROWS = 512

Step = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]

# what each block of the decoder reads, and the mask of its attention, if any
Reader = tuple[list[KeysValues], torch.Tensor | None]


class CodeTranslator(CodeModel):
    """The distribution of each token of a code, given a source and those before it.

    A source is a row of tokens, such as another code. Rows of a source and its code
    side by side are pairs, which all methods but `beam` take.

    Parameters
    ----------
    sizes : sequence of int
        Number of tokens of each column of a code.
    source_sizes : sequence of int or None
        The same of a source; if it has more columns, they take the sizes in turn. None
        if sources are made of the same codes, with which they share the embeddings.
    source_width : int
        Number of columns of a source.
    width, n_blocks, n_heads, hidden, dropout
        As in `CodeModel`, of encoder and decoder.

    References
    ----------
    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, Section 3.1.
    """

    first_of_source: torch.Tensor
    # whether a token's probability is among those alone that a trie has after a prefix
    within = False
    # without it, four blocks and more stay at the tokens' frequencies
    max_gradient = 1.0

    def __init__(
        self,
        sizes: Sequence[int],
        source_sizes: Sequence[int] | None,
        source_width: int,
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            sizes,
            len(sizes),
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            hidden=hidden,
            dropout=dropout,
        )
        self.source_columns = nn.Parameter(torch.empty(source_width, width))
        nn.init.normal_(self.source_columns, std=EMBEDDING_SCALE)
        self.source_tokens = None
        if source_sizes is not None:
            self.source_tokens = nn.Embedding(sum(source_sizes), width)
            nn.init.normal_(self.source_tokens.weight, std=EMBEDDING_SCALE)
        self.encoder = nn.ModuleList(
            [
                Block(width, n_heads, dropout, hidden=hidden, causal=False)
                for _ in range(n_blocks)
            ]
        )
        self.source_norm = nn.LayerNorm(width)
        self.readings = nn.ModuleList(
            [Reading(width, n_heads, dropout) for _ in range(n_blocks)]
        )
        each = sizes if source_sizes is None else source_sizes
        starts = np.resize(np.cumsum([0, *each[:-1]]), source_width)
        self.register_buffer(
            "first_of_source", torch.from_numpy(starts), persistent=False
        )

    def groups(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the number of each pair's source: `nats` encodes neighbours once."""
        source, _ = self._split(codes)
        return torch.unique(source, dim=0, return_inverse=True)[1].cpu()

    def nats(self, codes: torch.Tensor) -> torch.Tensor:
        """Return minus the log-probability of each token of the codes of pairs."""
        source, target = self._split(codes)
        which = None
        if self.training:  # in use, every product keeps its shape
            source, which = _merge_neighbours(source)
        opened, mask = self._reader(source)
        if which is not None:
            opened = [
                (keys.index_select(0, which), values.index_select(0, which))
                for keys, values in opened
            ]
        return self._losses(self._decode(target, opened, mask), target)

    def _split(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sources and codes."""
        return pairs[:, : -self.n_columns], pairs[:, -self.n_columns :]

    def _reader(self, source: torch.Tensor) -> Reader:
        """Return what the decoder reads of sources, and how."""
        table = self.tokens if self.source_tokens is None else self.source_tokens
        x = self.dropout(self.source_columns + table(source + self.first_of_source))
        for block in self.encoder:
            x = block(x)
        return self._open(self.source_norm(x)), None

    def _open(self, encoded: torch.Tensor) -> list[KeysValues]:
        """Return what each block reads in encoded sources."""
        return [cast(Reading, reading).open(encoded) for reading in self.readings]

    def _decode(
        self,
        target: torch.Tensor,
        opened: list[KeysValues],
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return what the blocks make of all columns of codes."""
        x = self._inputs(target)
        for block, reading, pages in zip(
            self.blocks, self.readings, opened, strict=True
        ):
            x = block(reading(x, pages, mask))
        return x

    def beam(
        self,
        source: NDArray[np.int64],
        trie: CodeTrie,
        k: int,
        beam_size: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the likeliest codes that a trie has, by beam search.

        Parameters
        ----------
        source : int64 array (n, n_source_columns)
            The sources.
        trie : CodeTrie
            The codes that there are.
        k : int
            How many codes of each source to return, at most as many as there are.
        beam_size : int
            How many prefixes of a source to follow; at least `k`.

        Returns
        -------
        found : int64 array (n, k)
            Rows of ``trie.rows``, likeliest first, ties by the lowest.
        log_probability : float64 array (n, k)
            Of these codes: among all that the tokens can form, not just those there
            are, or `within` these.
        """
        self.eval()
        search = partial(self._search, trie=trie, k=k, beam_size=beam_size)
        n_rows = max(1, BEAM_ROWS // min(beam_size, len(trie.rows)))
        cpu = torch.device("cpu")
        out = apply_in_blocks(search, source, torch.int64, cpu, n_rows)
        return out[:, 0].astype(np.int64), out[:, 1]

    def _search(
        self, source: torch.Tensor, trie: CodeTrie, k: int, beam_size: int
    ) -> torch.Tensor:
        """Return rows of the trie and their log-probabilities, stacked."""
        step = self._stepper(source)
        beams = _Beams(len(source), trie, self.within)
        for column in range(self.n_columns):
            last = column == self.n_columns - 1
            logits = step(column, beams.tokens, beams.parents)
            beams.grow(logits, k if last else beam_size)
        return beams.ranked()

    def _stepper(self, source: torch.Tensor) -> Step:
        """Return a function that gives the logits of a column after those before it.

        It takes the column, the tokens of the one before it, and the rows of the
        last call that these continue.
        """
        opened, mask = self._reader(source.to(self.device))
        pasts, start = [Past(self.n_columns) for _ in self.blocks], self._starter()

        def step(
            column: int, tokens: torch.Tensor, parents: torch.Tensor
        ) -> torch.Tensor:
            x = start(column, tokens, parents)
            for block, reading, pages, past in zip(
                self.blocks, self.readings, opened, pasts, strict=True
            ):
                if column > 0:
                    past.take(parents.to(self.device))
                x = block(reading(x, pages, mask), past)
            return self._logits(column, x[:, 0])

        return step

    def _starter(self) -> Step:
        """Return a function that gives what a step's rows start from."""
        return lambda column, tokens, parents: self._input(column, tokens)


class _Beams:
    """The likeliest prefixes of each source so far, in the order of a trie.

    Every prefix in it has codes, so that there are always as many as are asked for.

    Attributes
    ----------
    tokens, parents : int64 tensors (n * n_beams,)
        The last token of each beam, and the beam of the last level it continues.
    """

    def __init__(self, n: int, trie: CodeTrie, within: bool) -> None:
        self.trie, self.within, self.level = trie, within, 0
        self.nodes = np.zeros((n, 1), dtype=np.int64)
        self.total = torch.zeros((n, 1), dtype=torch.float64)
        self.tokens = self.parents = torch.zeros(n, dtype=torch.int64)

    def grow(self, logits: torch.Tensor, n_beams: int) -> None:
        """Go on to the likeliest children, at most `n_beams` of each source."""
        n, width = self.nodes.shape
        children, exists = self.trie.children(self.level, self.nodes)
        fan_out = children.shape[2]
        each = self.trie.tokens[self.level]
        tokens, none = torch.from_numpy(each[children]), torch.from_numpy(~exists)
        left_out = none.flatten(0, 1) if self.within else None
        gained = _log_softmax_at(logits, tokens.flatten(0, 1), left_out)
        scores = self.total[:, :, None] + gained.view(n, width, fan_out)
        scores = scores.masked_fill(none, -torch.inf).flatten(1)
        self.level += 1
        kept = _largest(scores, min(n_beams, self.trie.n_nodes(self.level)))
        self.total = scores.gather(1, kept)
        self.nodes = np.take_along_axis(children.reshape(n, -1), kept.numpy(), axis=1)
        self.tokens = torch.from_numpy(each[self.nodes]).flatten()
        self.parents = (torch.arange(n)[:, None] * width + kept // fan_out).flatten()

    def ranked(self) -> torch.Tensor:
        """Return nodes and their log-probabilities, float64 (n, 2, n_beams)."""
        total, order = self.total.sort(dim=1, descending=True, stable=True)
        nodes = torch.from_numpy(self.nodes).gather(1, order)
        return torch.stack([nodes.to(torch.float64), total], dim=1)


def _merge_neighbours(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return rows without repeats of the one before, and where each row is there.

    If nothing repeats, None stands for where.
    """
    opens = torch.any(rows[1:] != rows[:-1], dim=1)
    opens = torch.cat([opens.new_ones(1), opens])
    merged = rows[opens]
    return merged, None if len(merged) == len(rows) else opens.cumsum(0) - 1


def _log_softmax_at(
    logits: torch.Tensor, tokens: torch.Tensor, left_out: torch.Tensor | None
) -> torch.Tensor:
    """Return the log-probabilities of some tokens of each row, float64 on the CPU.

    They are among all tokens, or among those alone that are not `left_out`.
    """
    at = logits.gather(1, tokens.to(logits.device))
    if left_out is not None:
        logits = at.masked_fill(left_out.to(logits.device), -torch.inf)
    return (at - logits.logsumexp(dim=1, keepdim=True)).cpu().to(torch.float64)


def _largest(scores: torch.Tensor, n: int) -> torch.Tensor:
    """Return where the n largest of each row are, by place; of equal ones the first."""
    least = scores.topk(n, dim=1).values[:, -1:]
    above, equal = scores > least, scores == least
    n_equal = n - above.sum(dim=1, keepdim=True)
    kept = above | (equal & (equal.cumsum(dim=1) <= n_equal))
    return kept.nonzero()[:, 1].view(len(scores), n)
