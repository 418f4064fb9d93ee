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
        # the codes that there are, where no others have a probability
        self.catalogue = network.trie.rows.tolist() if network.within else None
        # the vectors of prefixes, short ones first
        self.of_prefix = {}
        if "prefixes.weight" in self.w:
            lengths = range(1, len(self.first) + 1)
            each = [sorted({tuple(c[:m]) for c in self.catalogue}) for m in lengths]
            prefixes = [prefix for some in each for prefix in some]
            vectors = self.w["prefixes.weight"]
            self.of_prefix = dict(zip(prefixes, vectors, strict=True))

    def log_likelihood(self, given, code):
        w = self.w
        x = self.items(given) if "recency" in w else self.tokens(given)
        item = np.arange(len(x))
        for b in range(self.n_blocks):
            x = self.block(f"encoder.{b}", x, lambda i: self.shift(0, item, item[i]))
        pages = [self.norm("source_norm", row) for row in x]
        to_pages = self.shift(1, item, item[-1])
        x = list(w["columns"])
        for j, t in enumerate(code[:-1]):
            x[j + 1] = x[j + 1] + w["tokens.weight"][self.first[j] + t]
            x[j + 1] = x[j + 1] + self.of_prefix.get(tuple(code[: j + 1]), 0)

        def causal(i):
            return np.where(np.arange(len(x)) <= i, 0.0, -np.inf)

        for b in range(self.n_blocks):
            x = self.read(f"readings.{b}", x, pages, to_pages)
            x = self.block(f"blocks.{b}", x, causal)
        total = 0.0
        for j, t in enumerate(code):
            logits = self.logits(j, self.norm("norm", x[j]))
            total += logits[t] - logsumexp(logits[self.followers(code[:j])])
        return total

    def logits(self, j, x):
        if "often" not in self.w:
            return self.linear(f"outputs.{j}", x)
        own = slice(*np.append(self.first, None)[j : j + 2])
        return self.w["tokens.weight"][own] @ x + self.w["often"][own]

    def tokens(self, given):
        """What stands for each token of a source."""
        tokens = self.w.get("source_tokens.weight", self.w["tokens.weight"])
        places = self.w["source_columns"]
        rows = zip(places, self.source_first, given, strict=True)
        return [place + tokens[first + token] for place, first, token in rows]

    def items(self, given):
        """What stands for each item of a history."""
        rows, place = [], self.w["source_columns"][0]
        for code in given.reshape(-1, len(self.first)):
            x = place + self.w["tokens.weight"][self.first + code].sum(axis=0)
            for j in range(len(code)):
                x = x + self.of_prefix.get(tuple(code[: j + 1]), 0)
            rows.append(x)
        return rows

    def followers(self, prefix):
        """The tokens that compete after a prefix."""
        if self.catalogue is None:
            return slice(None)
        j, prefix = len(prefix), list(prefix)
        return sorted({code[j] for code in self.catalogue if code[:j] == prefix})

    def shift(self, which, item, own):
        """What is added to the attention of one item to others, a row each head."""
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
