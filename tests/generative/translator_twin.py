"""The transformers from a source to a code in NumPy and float64, a column at a time."""

import numpy as np
from scipy.special import erf, logsumexp


def slow_log_likelihood(network, source, target):
    """Log-probability of each code after its source, of a network with 2 heads.

    Sources are rows of tokens, with -1 after the last; of a `HistoryTranslator` they
    are the codes of items, one after the other.
    """
    return np.array(
        [
            _Twin(network).log_likelihood(given[given >= 0], code)
            for given, code in zip(source, target, strict=True)
        ]
    )


class _Twin:
    def __init__(self, network):
        self.w = {
            name: array.astype(np.float64) for name, array in network.weights().items()
        }
        self.source_first = network.first_of_source.numpy()
        self.first, self.n_blocks = network.first.numpy(), len(network.blocks)

    def log_likelihood(self, given, code):
        w = self.w
        tokens = w.get("source_tokens.weight", w["tokens.weight"])
        width = len(self.source_first)
        x = [
            w["source_columns"][j % width] + tokens[self.source_first[j % width] + t]
            for j, t in enumerate(given)
        ]
        # the item of each token, where sources are histories
        item = np.arange(len(given)) // width
        for b in range(self.n_blocks):
            x = self.block(f"encoder.{b}", x, lambda i: self.shift(0, item, item[i]))
        pages = [self.norm("source_norm", row) for row in x]
        to_pages = self.shift(1, item, item[-1])
        x = list(w["columns"])
        for j, t in enumerate(code[:-1]):
            x[j + 1] = x[j + 1] + w["tokens.weight"][self.first[j] + t]

        def causal(i):
            return np.where(np.arange(len(x)) <= i, 0.0, -np.inf)

        for b in range(self.n_blocks):
            x = self.read(f"readings.{b}", x, pages, to_pages)
            x = self.block(f"blocks.{b}", x, causal)
        total = 0.0
        for j, t in enumerate(code):
            logits = self.linear(f"outputs.{j}", self.norm("norm", x[j]))
            total += logits[t] - logsumexp(logits)
        return total

    def shift(self, which, item, own):
        """What is added to the attention of one item to tokens, a row each head."""
        if "recency" not in self.w:
            return np.zeros(len(item))
        fall = self.w["recency"][which]
        never = np.full(2, -np.inf)
        return np.stack([fall[:, own - i] if i <= own else never for i in item], axis=1)

    def linear(self, name, x):
        return self.w[f"{name}.weight"] @ x + self.w[f"{name}.bias"]

    def norm(self, name, x):
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attend(self, queries, keys, values, shift):
        heads, shifts = [], np.broadcast_to(shift, (2, len(keys)))
        for h, add in zip(np.split(np.arange(len(queries)), 2), shifts, strict=True):
            score = np.array([queries[h] @ k[h] for k in keys]) / np.sqrt(len(h)) + add
            share = np.exp(score - logsumexp(score))
            heads.append(share @ np.array([v[h] for v in values]))
        return np.concatenate(heads)

    def block(self, name, x, shift):
        """Take the columns x through a block; that of i is shifted by shift(i)."""
        parts = [
            self.linear(
                f"{name}.queries_keys_values", self.norm(f"{name}.norm_attention", row)
            )
            for row in x
        ]
        queries, keys, values = zip(*(np.split(part, 3) for part in parts), strict=True)
        out = []
        for i, row in enumerate(x):
            mixed = self.attend(queries[i], keys, values, shift(i))
            row = row + self.linear(f"{name}.mix", mixed)
            hidden = self.linear(f"{name}.mlp.0", self.norm(f"{name}.norm_mlp", row))
            hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
            out.append(row + self.linear(f"{name}.mlp.2", hidden))
        return out

    def read(self, name, x, pages, shift):
        parts = [
            np.split(self.linear(f"{name}.keys_values", page), 2) for page in pages
        ]
        keys, values = zip(*parts, strict=True)
        out = []
        for row in x:
            query = self.linear(f"{name}.queries", self.norm(f"{name}.norm", row))
            mixed = self.attend(query, keys, values, shift)
            out.append(row + self.linear(f"{name}.mix", mixed))
        return out
