"""Networks of the user's own, hyperbolic ones, and warnings of collapse."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skhyper.datasets import make_tree
from skhyper.metrics import relative_distortion
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

SMALL = {
    "n_levels": 2,
    "codebook_size": 8,
    "latent_dim": 4,
    "hidden_layer_sizes": (32,),
    "max_iter": 30,
    "batch_size": 64,
    "random_state": 0,
}


class Encoder(torch.nn.Module):
    """With dropout and batch norm, which differ between training and use."""

    def __init__(self, n_in=10, n_out=4):
        super().__init__()
        self.first = torch.nn.Linear(n_in, 24)
        self.norm = torch.nn.BatchNorm1d(24)
        self.dropout = torch.nn.Dropout(0.1)
        self.last = torch.nn.Linear(24, n_out)

    def forward(self, x):
        return self.last(self.dropout(torch.tanh(self.norm(self.first(x)))))


@pytest.fixture(scope="module")
def X():
    return make_tree(400, 10, branching=4, depth=2, random_state=0)[0]


@pytest.fixture(params=[RQVAETokenizer, HRQVAETokenizer], ids=lambda c: c.__name__)
def cls(request):
    return request.param


@pytest.mark.parametrize("decoder", [None, Encoder(4, 10)], ids=["mirror", "own"])
def test_own_networks_are_trained_and_used(cls, decoder, X):
    encoder = Encoder()
    weights = copy.deepcopy(encoder.state_dict())
    tokenizer = cls(**SMALL, encoder=encoder, decoder=decoder).fit(X)
    codes = tokenizer.transform(X)
    assert relative_distortion(X, tokenizer.inverse_transform(codes)) < 0.5
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, weights[name]), "the user's module was trained"
    assert tokenizer.encoder is encoder
    assert_array_equal(tokenizer.transform(X[::-1])[::-1], codes)
    assert_array_equal(pickle.loads(pickle.dumps(tokenizer)).transform(X), codes)
    assert_array_equal(clone(tokenizer).fit(X).transform(X), codes)


def test_own_networks_go_through_a_grid_search(X):
    search = GridSearchCV(
        RQVAETokenizer(**SMALL, encoder=Encoder()), {"codebook_size": [4, 8]}, cv=2
    ).fit(X)
    assert search.best_params_ == {"codebook_size": 8}


def test_own_networks_by_chunks(X):
    tokenizer = RQVAETokenizer(**SMALL, encoder=Encoder())
    tokenizer.partial_fit(X[:200])
    twin = pickle.loads(pickle.dumps(tokenizer)).partial_fit(X[200:])
    tokenizer.partial_fit(X[200:])
    assert_array_equal(twin.transform(X), tokenizer.transform(X))


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"encoder": Encoder(10, 5)}, r"encoder turns.*\(2, 5\).*latent_dim"),
        ({"encoder": Encoder(9, 4)}, r"encoder cannot take.*\(n_samples, 10\)"),
        ({"decoder": Encoder(4, 9)}, r"decoder turns.*\(2, 9\).*number of features"),
        ({"encoder": Encoder}, r"encoder=.*instance of torch.nn.Module"),
        ({"encoder": np.tanh}, r"encoder=.*instance of torch.nn.Module"),
        ({"encoder": "mobius"}, "encoder"),
        ({"decoder": "hyperbolic"}, "decoder"),
    ],
)
def test_networks_that_cannot_be_used(cls, networks, message, X):
    with pytest.raises(ValueError, match=message):
        cls(**SMALL, **networks).fit(X)


def test_hyperbolic_layers_learn(X):
    tokenizer = HRQVAETokenizer(**SMALL, encoder="hyperbolic").fit(X)
    codes = tokenizer.transform(X)
    assert relative_distortion(X, tokenizer.inverse_transform(codes)) < 0.4
    with pytest.raises(ValueError, match="encoder"):
        RQVAETokenizer(**SMALL, encoder="hyperbolic").fit(X)


def test_pyramidal_codebooks(cls, X):
    tokenizer = cls(**{**SMALL, "codebook_size": [3, 6, 12], "n_levels": 3}).fit(X)
    assert [len(codes) for codes in tokenizer.codebooks_] == [3, 6, 12]
    assert (tokenizer.transform(X).max(axis=0) < [3, 6, 12]).all()


def test_a_wider_beam_is_never_worse_in_the_latent_space(cls, X):
    tokenizer = cls(**SMALL).fit(X)
    manifold = tokenizer._manifold()
    z = manifold.expmap0(tokenizer.embed(X))

    def error():
        return manifold.sq_chord(z, manifold.expmap0(tokenizer.quantize(X)))

    first = error()
    wide = tokenizer.set_params(beam_size=8)
    assert (error() <= first + 1e-12).all()
    assert error().mean() < first.mean()
    with pytest.raises(ValueError, match="beam_size=9 is more than the largest"):
        wide.set_params(beam_size=9).fit(X)


def test_a_collapsed_level_is_a_warning_with_a_remedy(cls, X, monkeypatch):
    from skhyper._nn._codebooks import Codebooks

    def collapse(self, *args):
        self.levels[1].data[1:] = 0.9 * self.reach if self.reach else 1e3

    monkeypatch.setattr(Codebooks, "after_step", collapse)
    with pytest.warns(ConvergenceWarning, match=r"Level 1 uses 1 of its 8.*balanced"):
        cls(**SMALL).fit(X)


def test_inference_leaves_the_global_generator_alone(cls, X):
    tokenizer = pickle.loads(pickle.dumps(cls(**SMALL).fit(X)))
    torch.manual_seed(0)
    tokenizer.transform(X)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("encoder", [None, Encoder()], ids=["ours", "own"])
def test_threads_do_not_disturb_each_other(encoder, X):
    tokenizer = RQVAETokenizer(**SMALL, encoder=encoder)
    alone = clone(tokenizer).fit(X).loss_curve_
    fits = joblib.Parallel(4, prefer="threads")(
        joblib.delayed(clone(tokenizer).fit)(X) for _ in range(8)
    )
    assert all(np.allclose(fit.loss_curve_, alone, rtol=1e-9) for fit in fits)


@pytest.mark.parametrize("update", ["gradient", "ema"])
@pytest.mark.parametrize("max_iter", [5, 30])
def test_codes_on_a_frozen_autoencoder(update, max_iter, X):
    frozen = [torch.nn.Linear(10, 4), torch.nn.Linear(4, 10)]
    for layer in frozen:
        layer.requires_grad_(False)
    for pair in (frozen, [torch.nn.Identity(), torch.nn.Identity()]):
        latent_dim = 4 if pair is frozen else 10
        parameters = {**SMALL, "max_iter": max_iter, "latent_dim": latent_dim}
        tokenizer = RQVAETokenizer(
            **parameters, encoder=pair[0], decoder=pair[1], codebook_update=update
        ).fit(X)
        assert (tokenizer.codebook_usage_ > 0.5).all()
        assert np.isfinite(tokenizer.score(X))


class Logarithm(torch.nn.Linear):
    """Latents of negative numbers are not numbers."""

    def forward(self, input):
        return torch.log(super().forward(input))


def test_latents_that_are_not_finite(cls, X):
    with pytest.raises(ValueError, match=r"latents that are not finite.*rate"):
        cls(**{**SMALL, "max_iter": 5}, encoder=Logarithm(10, 4)).fit(X)


def test_a_module_that_gives_no_tensor(cls, X):
    with pytest.raises(ValueError, match=r"encoder turns.*into tuple"):
        cls(**SMALL, encoder=torch.nn.LSTM(10, 4)).fit(X)


def test_a_float64_module_keeps_its_digits(X):
    layer = torch.nn.Linear(10, 4).double().requires_grad_(False)
    tokenizer = RQVAETokenizer(**SMALL, encoder=layer).fit(X)
    assert_array_equal(tokenizer.weights_["encoder.weight"], layer.weight.numpy())


def test_balanced_batches_of_one_row(X):
    tokenizer = RQVAETokenizer(
        **{**SMALL, "batch_size": 1, "max_iter": 3}, assignment="balanced"
    ).fit(X[:60])
    assert (tokenizer.codebook_usage_ > 0.5).all()
