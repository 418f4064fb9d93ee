"""Codes of pictures: bits per dimension, posterior collapse, levels at equal bits.

    OMP_NUM_THREADS=1 python benchmarks/pictures.py [--part bits collapse levels]
                             [--seeds 5] [--jobs 1] [--results pictures.jsonl]

The 10,000 test pictures of MNIST (see ``data.py``), 8,000 of them to train on and 2,000
to measure, drawn once.

* ``bits``: bits per dimension of the 8-bit pictures, as van den Oord et al. (2017,
  Section 4.1) compare: VQ-VAE with a `TokenPrior` over its codes, against a VAE with
  Gaussian latents at the same 7 x 7 positions, with the same encoder and decoder,
  trained by its bound (the ELBO). Both are upper bounds on ``-log2 p``. The bin is
  1/255, and one scale for all features is fitted to the training rows.
* ``collapse``: the same row-by-row autoregressive decoder of binary pictures on three
  kinds of latents: none, those of a VAE trained with it, and frozen codes of a
  `VQVAETokenizer`. How much the latents hold, how much of that the decoder uses, and
  how well a linear probe finds the digit.
* ``levels``: `VQVAETokenizer`, `RQVAETokenizer` and `HRQVAETokenizer` at equal bits a
  picture, 8 in all (perceptrons) or 6 at each of 49 positions (convolutions).

Each run is appended to the results file, and runs that it holds are not repeated. The
tables give mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from data import load_mnist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from skhyper import HRQVAETokenizer, RQVAETokenizer, VQVAETokenizer, metrics
from skhyper._nn._convolutions import ConvolutionalDecoder, ConvolutionalEncoder
from skhyper.generative import TokenPrior, reconstruction_scale
from skhyper.generative._likelihood import log_mass
from skhyper.tokenizers._scale import Scale

SHAPE, N_FEATURES, N_TRAIN = (1, 28, 28), 784, 8000
N_POSITIONS, WIDTH = 49, 16  # latents of a picture, and numbers of a latent
CONVOLUTIONS = {"input_shape": SHAPE, "n_channels": 16, "latent_dim": WIDTH}
TRAINING = {"batch_size": 64, "max_iter": 12}
# for bits: after 12 epochs the start of the weights still decides who is ahead
LONG_TRAINING = TRAINING | {"max_iter": 40}
WARM_UP = 0.1  # the share of training in which a VAE's divergence gets its cost
PRIOR = {"n_levels": 1, "d_model": 48, "max_iter": 5, "learning_rate": 2e-3}
BIN = 1 / 255
SCALE_ROWS = 2000  # training rows that the scale is fitted to
LIKELIHOODS = ("gaussian", "logistic")


class Pictures(NamedTuple):
    """The split of all parts."""

    train: np.ndarray
    test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray


def load() -> Pictures:
    X, y = load_mnist()
    # the second half is by other writers than the first
    order = np.random.RandomState(0).permutation(len(X))
    train, test = order[:N_TRAIN], order[N_TRAIN:]
    return Pictures(X[train], X[test], y[train], y[test])


# ---------------------------------------------------------------- bits per dimension


class Gaussians(nn.Module):
    """Encoder of a VAE: pictures to Gaussians at all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ConvolutionalEncoder(SHAPE, 16, 2 * WIDTH)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return draws, and their divergences from the standard normal in nats."""
        both = self.encoder(x).reshape(-1, N_POSITIONS, 2, WIDTH)
        mean, log_var = both[:, :, 0], both[:, :, 1].clamp(-15, 15)
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(dim=(1, 2))
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        return z.flatten(1), kl


class ContinuousVAE(nn.Module):
    """The twin of VQ-VAE: the same two networks, and one scale for all features.

    In its first `n_growing` batches the divergence comes to its full cost. Otherwise
    some starts of the weights end with latents that say nothing.
    """

    def __init__(self, scale: Scale, likelihood: str, n_growing: float) -> None:
        super().__init__()
        self.likelihood = likelihood
        self.n_growing, self.n_done = n_growing, 0
        self.encoder = Gaussians()
        self.decoder = ConvolutionalDecoder(SHAPE, 16, WIDTH)
        # a tenth of the logarithm, which so learns ten times as fast as the weights
        self.log_scale = nn.Parameter(torch.tensor(-0.2))
        self.register_buffer("offset", torch.tensor(scale.offset, dtype=torch.float32))
        self.gain = scale.scale

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions, and the divergences of the latents."""
        z, kl = self.encoder((x - self.offset) / self.gain)
        return self.decoder(z) * self.gain + self.offset, kl

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return minus the ELBO in nats a feature, for the next batch."""
        x_hat, kl = self(x)
        mass = log_mass_of(x - x_hat, torch.exp(10 * self.log_scale), self.likelihood)
        self.n_done += 1
        share = min(1.0, self.n_done / self.n_growing)
        return share * kl.mean() / N_FEATURES - mass.mean()


def log_mass_of(
    errors: torch.Tensor, scale: torch.Tensor, likelihood: str
) -> torch.Tensor:
    """Return what `skhyper.generative._likelihood.log_mass` does, with a gradient."""
    near, far = ((errors.abs() + sign * BIN / 2) / scale for sign in (-1, 1))
    if likelihood == "logistic":
        inside = functional.logsigmoid(far) + functional.logsigmoid(-near)
        return inside + torch.log(-torch.expm1(-BIN / scale))
    tail = torch.special.log_ndtr(-near)
    return tail + torch.log(-torch.expm1(torch.special.log_ndtr(-far) - tail))


def train(model: nn.Module, rows: list[torch.Tensor], n_epochs: int, rate: float):
    """Minimise `loss` over shuffled batches, as the tokenizers do."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    model.train()
    for _ in range(n_epochs):
        for batch in torch.randperm(N_TRAIN).split(TRAINING["batch_size"]):
            optimizer.zero_grad(set_to_none=True)
            model.loss(*(tensor[batch] for tensor in rows)).backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def of_all(function: Callable, *tensors: torch.Tensor) -> list[np.ndarray]:
    """Return each output of a function of rows, block by block."""
    blocks = zip(*(tensor.split(500) for tensor in tensors), strict=True)
    outputs = zip(*(function(*block) for block in blocks), strict=True)
    return [torch.cat(parts).double().numpy() for parts in outputs]


def bits_of_vae(data: Pictures, seed: int, likelihood: str, n_draws: int = 5) -> dict:
    torch.manual_seed(seed)
    scale_of_data = Scale.of(data.train, np.ones(N_TRAIN))
    X, X_test = torch.from_numpy(data.train), torch.from_numpy(data.test)
    n_epochs = LONG_TRAINING["max_iter"]
    n_batches = n_epochs * N_TRAIN / TRAINING["batch_size"]
    model = ContinuousVAE(scale_of_data, likelihood, WARM_UP * n_batches)
    train(model, [X], n_epochs, 1e-3)
    kind = {"bin_width": BIN, "likelihood": likelihood}
    X_hat = of_all(model, X[:SCALE_ROWS])[0]
    scale = reconstruction_scale(data.train[:SCALE_ROWS], X_hat, **kind)
    rate = mass = 0.0
    for _ in range(n_draws):
        X_hat, kl = of_all(model, X_test)
        rate += kl.mean() / n_draws
        mass += log_mass(np.abs(data.test - X_hat), scale, **kind).mean() / n_draws
    return parts_of_bits(rate, mass, scale, rmse(data.test, X_hat))


def bits_of_vq(data: Pictures, seed: int, size: int) -> dict:
    tokenizer = VQVAETokenizer(size, random_state=seed, **CONVOLUTIONS, **LONG_TRAINING)
    codes = tokenizer.fit_transform(data.train)
    test_codes = tokenizer.transform(data.test)
    X_hat = tokenizer.inverse_transform(codes[:SCALE_ROWS])
    X_test_hat = tokenizer.inverse_transform(test_codes)
    prior = TokenPrior(codebook_size=size, random_state=seed, **PRIOR).fit(codes)
    rate = -prior.score(test_codes)
    record = {
        "uniform": N_POSITIONS * np.log2(size) / N_FEATURES,
        "usage": float(tokenizer.codebook_usage_[0]),
        "perplexity": float(metrics.perplexity(test_codes.reshape(-1, 1))[0]),
    }
    for likelihood in LIKELIHOODS:
        kind = {"bin_width": BIN, "likelihood": likelihood}
        scale = reconstruction_scale(data.train[:SCALE_ROWS], X_hat, **kind)
        mass = log_mass(np.abs(data.test - X_test_hat), scale, **kind).mean()
        parts = parts_of_bits(rate, mass, scale, rmse(data.test, X_test_hat))
        whole = prior.bits_per_dim(data.test, tokenizer, scale=scale, **kind)
        assert abs(whole - parts["bits"]) < 1e-6
        record[likelihood] = parts
    return record


def parts_of_bits(rate: float, mass: float, scale: float, error: float) -> dict:
    """Return bits per dimension from nats a picture, and nats a feature."""
    latents, rest = rate / N_FEATURES / np.log(2), -mass / np.log(2)
    return {
        "bits": latents + rest,
        "latents": latents,
        "rest": rest,
        "scale": scale,
        "rmse": error,
    }


def rmse(X: np.ndarray, X_hat: np.ndarray) -> float:
    return float(np.mean((X - X_hat) ** 2) ** 0.5)


# ----------------------------------------------------------------- posterior collapse


class RowDecoder(nn.Module):
    """A strong decoder: each pixel given all before it, and given latents or none.

    A recurrent network reads the rows above, and a perceptron with masks the pixels to
    the left (as in MADE, Germain et al. 2015). The latents of the 4 x 4 pixels of a row
    are an input of both, and so is a summary of all latents.
    """

    def __init__(self, n_states: int = 128, a_pixel: int = 8) -> None:
        super().__init__()
        self.all, self.band = (
            nn.Linear(N_POSITIONS * WIDTH, 64),
            nn.Linear(7 * WIDTH, 64),
        )
        self.rows = nn.GRU(28 + 64, n_states, batch_first=True)
        place = torch.arange(28).repeat_interleave(a_pixel)
        self.left = nn.Linear(28, len(place))
        self.above = nn.Linear(n_states + 64, len(place))
        self.out, self.bias = nn.Linear(len(place), 28), nn.Linear(n_states + 64, 28)
        pixel = torch.arange(28)
        self.register_buffer("sees", (pixel[None] <= place[:, None]).float())
        self.register_buffer("seen", (place[None] < pixel[:, None]).float())

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return -log p(x | z) in nats, of binary pictures."""
        x = x.reshape(-1, 28, 28)
        bands = self.band(z.reshape(len(z), 7, -1)).repeat_interleave(4, dim=1)
        given = bands + self.all(z)[:, None]
        before = functional.pad(x[:, :-1], (0, 0, 1, 0))
        state = torch.cat([self.rows(torch.cat([before, given], -1))[0], given], -1)
        left = functional.linear(x, self.left.weight * self.sees, self.left.bias)
        hidden = torch.relu(left + self.above(state))
        logits = functional.linear(hidden, self.out.weight * self.seen, self.out.bias)
        nats = functional.binary_cross_entropy_with_logits(
            logits + self.bias(state), x, reduction="none"
        )
        return nats.sum(dim=(1, 2))


class StrongVAE(nn.Module):
    """Gaussian latents, trained together with the strong decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Gaussians(), RowDecoder()

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return minus the ELBO in nats a picture."""
        z, kl = self.encoder(x)
        return torch.mean(kl + self.decoder(x, z))


class OfGiven(nn.Module):
    """The strong decoder of latents that do not change."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = RowDecoder()

    def loss(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return -log p(x | z) in nats a picture."""
        return torch.mean(self.decoder(x, z))


N_DECODER_EPOCHS, DECODER_RATE = 12, 2e-3


def binary(data: Pictures) -> list[torch.Tensor]:
    return [torch.from_numpy((X > 0.5).astype(np.float32)) for X in data[:2]]


def collapse_of_none(data: Pictures, seed: int) -> dict:
    torch.manual_seed(seed)
    X, X_test = binary(data)
    Z, Z_test = torch.zeros_like(X), torch.zeros_like(X_test)
    model = train(OfGiven(), [X, Z], N_DECODER_EPOCHS, DECODER_RATE)
    own = of_all(lambda x, z: [model.decoder(x, z)], X_test, Z_test)[0].mean()
    return {"kl": 0.0, "own": own, "total": own}


def collapse_of_vae(data: Pictures, seed: int) -> dict:
    torch.manual_seed(seed)
    X, X_test = binary(data)
    model = train(StrongVAE(), [X], N_DECODER_EPOCHS, DECODER_RATE)
    (Z, _), (Z_test, kl) = (of_all(model.encoder, rows) for rows in (X, X_test))
    return described(data, model.decoder, Z, Z_test, kl.mean())


def collapse_of_vq(data: Pictures, seed: int) -> dict:
    torch.manual_seed(seed)
    X, X_test = binary(data)
    tokenizer = VQVAETokenizer(64, random_state=seed, **CONVOLUTIONS, **TRAINING)
    codes = tokenizer.fit_transform(X.numpy())
    prior = TokenPrior(codebook_size=64, random_state=seed, **PRIOR).fit(codes)
    Z, Z_test = (tokenizer.quantize(rows.numpy()) for rows in (X, X_test))
    model = train(OfGiven(), [X, torch.from_numpy(Z)], N_DECODER_EPOCHS, DECODER_RATE)
    nats = -prior.score(tokenizer.transform(X_test.numpy()))
    return described(data, model.decoder, Z, Z_test, nats)


def described(
    data: Pictures, decoder: RowDecoder, Z: np.ndarray, Z_test: np.ndarray, kl: float
) -> dict:
    """Return what latents hold, and what the decoder makes of them."""
    X_test = binary(data)[1]
    shuffled = np.random.RandomState(0).permutation(len(Z_test))
    nats = partial(of_all, lambda x, z: [decoder(x, z)], X_test)
    own, other = (
        nats(torch.from_numpy(z.astype(np.float32)))[0].mean()
        for z in (Z_test, Z_test[shuffled])
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    accuracy = probe.fit(Z, data.y_train).score(Z_test, data.y_test)
    figures = {"kl": kl, "own": own, "shuffled": other, "total": kl + own}
    return {name: float(value) for name, value in figures.items()} | {"probe": accuracy}


# ---------------------------------------------------------------------------- levels

PERCEPTRONS = {
    "hidden_layer_sizes": (256, 128),
    "latent_dim": 32,
    "max_iter": 40,
    "n_iter_no_change": 40,
}


def levels(data: Pictures, seed: int, cls: type, sizes: list[int], kind: dict) -> dict:
    shape = {"codebook_size": sizes[0]}
    if cls is not VQVAETokenizer:
        shape = {"n_levels": len(sizes), "codebook_size": sizes}
    tokenizer = cls(random_state=seed, **shape, **kind).fit(data.train)
    codes = tokenizer.transform(data.test)
    tokens = codes.reshape(len(codes), len(sizes), -1).transpose(0, 2, 1)
    tokens = tokens.reshape(-1, len(sizes))
    record = {
        f"error {m}": metrics.relative_distortion(
            data.test,
            tokenizer.inverse_transform(codes[:, : m * codes.shape[1] // len(sizes)]),
        )
        for m in range(1, len(sizes) + 1)
    }
    record["usage"] = metrics.codebook_usage(tokens, sizes).tolist()
    record["perplexity"] = metrics.perplexity(tokens).tolist()
    whole = np.unique(tokens, axis=0, return_inverse=True)[1].reshape(-1, 1)
    record["perplexity of all"] = float(metrics.perplexity(whole)[0])
    if codes.shape[1] == len(sizes):
        for score in ("ari", "nmi", "ami"):
            agreement = metrics.prefix_agreement(codes, data.y_test, score)
            record[score] = agreement.tolist()
    return record


# ------------------------------------------------------------------------------- runs

CONVOLUTIONAL = CONVOLUTIONS | TRAINING
CASES = {
    "bits": {
        "VQ 512": partial(bits_of_vq, size=512),
        "VAE gaussian": partial(bits_of_vae, likelihood="gaussian"),
        "VAE logistic": partial(bits_of_vae, likelihood="logistic"),
    },
    "collapse": {
        "no latents": collapse_of_none,
        "VAE": collapse_of_vae,
        "VQ": collapse_of_vq,
    },
    "levels": {
        f"{network} {name} {'x'.join(map(str, sizes))}": partial(
            levels, cls=cls, sizes=sizes, kind=kind
        )
        for network, kind, cases in (
            ("mlp", PERCEPTRONS, ([256], [16, 16], [4, 4, 4, 4])),
            ("conv", CONVOLUTIONAL, ([64], [8, 8])),
        )
        for sizes in cases
        for name, cls in (
            ("VQ", VQVAETokenizer),
            ("RQ", RQVAETokenizer),
            ("HRQ", HRQVAETokenizer),
        )
        if (name == "VQ") == (len(sizes) == 1)
    },
}


def run(part: str, case: str, seed: int) -> dict:
    torch.set_num_threads(1)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a level that collapses shows in the figures
        record = CASES[part][case](load(), seed)
    seconds = time.process_time() - start
    return {"part": part, "case": case, "seed": seed, "seconds": seconds, **record}


def flat(record: dict, name: str = "") -> dict[str, float]:
    """Return all numbers of a record, each under the path that leads to it."""
    if isinstance(record, dict):
        items = record.items()
    elif isinstance(record, list):
        items = enumerate(record, start=1)
    else:
        return {name: record}
    found = {}
    for key, value in items:
        if key not in ("part", "case", "seed"):
            found |= flat(value, f"{name} {key}".strip())
    return found


def print_tables(records: list[dict], part: str) -> None:
    for case in CASES[part]:
        runs = [flat(r) for r in records if (r["part"], r["case"]) == (part, case)]
        if not runs:
            continue
        print(f"\n{part}, {case} ({len(runs)} seeds)")
        for figure in runs[0]:
            values = np.array([one[figure] for one in runs])
            print(f"    {figure:24}{values.mean():10.4f} +- {values.std():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("pictures.jsonl"))
    options = parser.parse_args()

    if load_mnist() is None:
        return
    records = []
    if options.results.exists():
        records = [json.loads(line) for line in options.results.open()]
    done = {(r["part"], r["case"], r["seed"]) for r in records}
    todo = [
        (part, case, seed)
        for seed in range(options.seeds)
        for part in options.part
        for case in CASES[part]
        if (part, case, seed) not in done
    ]
    with ProcessPoolExecutor(options.jobs) as pool, options.results.open("a") as file:
        for record in pool.map(run, *zip(*todo, strict=True)) if todo else ():
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
    for part in options.part:
        print_tables(records, part)


if __name__ == "__main__":
    main()
