"""A network comes back from a pickle as it was fitted, whatever was set since."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skhyper.classification import HyperVQClassifier
from skhyper.datasets import make_tree
from skhyper.tokenizers import (
    HRQVAETokenizer,
    HyperVQTokenizer,
    RQVAETokenizer,
    SoftVQTokenizer,
    VQVAETokenizer,
)

SMALL = {
    "codebook_size": 5,
    "latent_dim": 3,
    "hidden_layer_sizes": (7, 6),
    "max_iter": 2,
    "random_state": 0,
}
PICTURES = {**SMALL, "input_shape": (1, 8, 4), "n_channels": 3}
MODELS = [
    RQVAETokenizer(2, **SMALL),
    HRQVAETokenizer(2, **SMALL),
    HRQVAETokenizer(2, **SMALL, encoder="hyperbolic"),
    VQVAETokenizer(**SMALL),
    SoftVQTokenizer(**SMALL),
    SoftVQTokenizer(**SMALL, geometry="hyperbolic"),
    HyperVQTokenizer(**SMALL),
    HyperVQClassifier(**SMALL),
    VQVAETokenizer(**PICTURES),
    SoftVQTokenizer(**PICTURES),
    HyperVQClassifier(**PICTURES),
]

# other values than those of the fits, in range or not
SINCE = {
    "assignment": "none",
    "codebook_size": 9,
    "codebook_update": "none",
    "commitment_weight": -1.0,
    "curvature": 3.0,
    "decoder": torch.nn.Linear(3, 32),
    "dtype": "float32",
    "encoder": torch.nn.Linear(32, 3),
    "entropy_weight": -1.0,
    "geometry": "none",
    "gradient": "none",
    "hidden_layer_sizes": (4,),
    "input_shape": (2, 4, 4),
    "latent_dim": 2,
    "n_channels": 4,
    "n_levels": 3,
    "posterior": "none",
    "reconstruction_weight": -1.0,
    "temperature": 0.0,
}


def short(model):
    kind = getattr(model, "geometry", model.encoder)
    return f"{type(model).__name__}-{kind}-{model.input_shape}"


@pytest.fixture(scope="module")
def data():
    X, y = make_tree(60, 32, branching=3, depth=1, random_state=0)
    return X, y[:, 0]


def outputs(model, X):
    """What each half of the network gives, and what is made of it."""
    found = [model.embed(X), codes := model.transform(X), model.quantize(X)]
    found.append(model.inverse_transform(codes))
    if hasattr(model, "predict_proba"):
        found.append(model.predict_proba(X))
    return found


@pytest.mark.parametrize("model", MODELS, ids=short)
def test_parameters_set_after_the_fit_do_not_shape_the_network(model, data):
    model = clone(model).fit(*data)
    expected, parameters = outputs(model, data[0]), model.get_params()
    changes = {name: value for name, value in SINCE.items() if name in parameters}
    for name, value in changes.items():
        model.set_params(**{name: value})
        twin = pickle.loads(pickle.dumps(model))
        for found, as_fitted in zip(outputs(twin, data[0]), expected, strict=True):
            assert_array_equal(found, as_fitted, err_msg=name)
        model.set_params(**{name: parameters[name]})


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_network_of_the_users_own_has_to_stay(half, data):
    X = data[0]
    widths = {"encoder": (32, 3), "decoder": (3, 32)}[half]
    given = {half: torch.nn.Linear(*widths)}
    model = VQVAETokenizer(**SMALL, **given).fit(X)
    codes = model.transform(X)
    model.set_params(**{half: None})
    twin = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match=f"{half}=None.*set_params"):
        twin.transform(X)
    assert np.array_equal(twin.set_params(**given).transform(X), codes)
