"""What training promises: best weights, revival, stopping, scale, interruptions."""

import logging

import numpy as np
import pytest
import torch

from skhyper._utils._rows import Rows
from skhyper._utils._weights import distinct_rows
from skhyper.datasets import load_naics, make_tree
from skhyper.metrics import relative_distortion
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

SMALL = {
    "n_levels": 2,
    "codebook_size": 8,
    "latent_dim": 4,
    "hidden_layer_sizes": (32,),
    "max_iter": 20,
    "batch_size": 64,
    "random_state": 0,
}
TOKENIZERS = [RQVAETokenizer, HRQVAETokenizer]


@pytest.fixture(scope="module")
def X():
    return make_tree(400, 10, branching=4, depth=2, random_state=0)[0]


@pytest.fixture(params=TOKENIZERS, ids=lambda cls: cls.__name__)
def tokenizer(request):
    return request.param(**SMALL)


def test_training_beats_its_start(tokenizer, X):
    short = tokenizer.set_params(max_iter=1).fit(X).score(X)
    assert tokenizer.set_params(max_iter=100).fit(X).score(X) > 0.6 * short
    codes = tokenizer.transform(X)
    assert relative_distortion(X, tokenizer.inverse_transform(codes)) < 0.2


def test_every_code_is_used_and_prefixes_refine(tokenizer, X):
    tokenizer.set_params(max_iter=60).fit(X)
    assert (tokenizer.codebook_usage_ >= 0.9).all()
    codes = tokenizer.transform(X)
    errors = [
        relative_distortion(X, tokenizer.inverse_transform(codes[:, :m]))
        for m in (1, 2)
    ]
    assert errors[1] < errors[0] < 1


def test_best_weights_are_those_of_the_best_validation_error(tokenizer, X):
    tokenizer.set_params(early_stopping=True, learning_rate=0.02, max_iter=40).fit(X)
    scores = tokenizer.validation_scores_
    assert len(scores) == tokenizer.n_iter_
    # the last epoch is not the best here, or the test would show nothing
    assert scores[-1] < max(scores)
    distinct, _ = distinct_rows(X, np.ones(len(X)))
    ones = np.ones(len(X))
    _, held_out = tokenizer._split(Rows(X[distinct], ones), None, _seed(tokenizer))
    rows = held_out.X
    assert len(rows) == 40
    rebuilt = tokenizer.inverse_transform(tokenizer.transform(rows))
    error = np.mean((rows - rebuilt) ** 2) / tokenizer.scale_**2
    assert error == pytest.approx(-max(scores), rel=1e-9)


def _seed(tokenizer):
    rng = np.random.RandomState(tokenizer.random_state)
    return rng.randint(np.iinfo(np.int32).max)


def test_best_weights_are_those_of_the_lowest_error(tokenizer, X, monkeypatch):
    from skhyper._nn._train import Trainer

    after_epoch, epoch = [], Trainer._epoch

    def remember(self, number):
        figures = epoch(self, number)
        after_epoch.append(self.model.network_weights())
        return figures

    monkeypatch.setattr(Trainer, "_epoch", remember)
    tokenizer.set_params(learning_rate=0.05, n_iter_no_change=100).fit(X)
    best = int(np.argmin(tokenizer.error_curve_))
    # the last epoch is not the best here, or the test would show nothing
    assert best < len(after_epoch) - 1
    for name, value in tokenizer.weights_.items():
        np.testing.assert_array_equal(value, after_epoch[best][name])


def test_a_rising_quantization_loss_does_not_stop_training():
    """Latents spread after the start, and the summed loss rises for a while."""
    tokenizer = RQVAETokenizer(
        3, 64, hidden_layer_sizes=256, max_iter=100, random_state=0
    ).fit(load_naics().data)
    loss, error = tokenizer.loss_curve_, tokenizer.error_curve_
    # ten epochs without a lower loss: that would have ended it
    assert min(loss[2:14]) > min(loss[:2])
    assert len(error) == 90
    assert error[-1] < 0.7 * error[1]


def test_stops_when_nothing_improves(tokenizer, X):
    tokenizer.set_params(max_iter=500, tol=0.05, n_iter_no_change=3).fit(X)
    assert tokenizer.n_iter_ < 200
    # no epoch of the last three was better than all before by tol
    curve = np.array(tokenizer.error_curve_)
    assert curve[-3:].min() > curve[:-3].min() - 0.05


@pytest.mark.parametrize("after", [0, 2])
def test_interruption_keeps_the_best_weights(tokenizer, X, monkeypatch, after):
    from skhyper._nn._train import Trainer

    epoch, calls = Trainer._epoch, []

    def interrupted(self, number):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return epoch(self, number)

    monkeypatch.setattr(Trainer, "_epoch", interrupted)
    with pytest.warns(UserWarning, match=f"interrupted; the weights of epoch {after}"):
        tokenizer.fit(X)
    assert len(tokenizer.loss_curve_) == after
    codes = tokenizer.transform(X)
    assert codes.shape == (400, 2)
    assert relative_distortion(X, tokenizer.inverse_transform(codes)) < 1.5


def test_interruption_of_the_pretraining_keeps_the_network(tokenizer, X, monkeypatch):
    from skhyper._nn._train import Trainer

    def interrupted(self, number):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_pretraining_epoch", interrupted)
    with pytest.warns(UserWarning, match="Pretraining was interrupted"):
        tokenizer.fit(X)
    assert tokenizer.loss_curve_ == []
    assert tokenizer.transform(X).shape == (400, 2)


# five epochs have no pretraining, twenty have two of it
@pytest.mark.parametrize("max_iter", [5, 20])
def test_diverging_training_stops_with_good_weights(tokenizer, X, max_iter):
    tokenizer.set_params(learning_rate=1e200, max_iter=max_iter)
    with pytest.warns(UserWarning, match=r"weights of epoch 0. Lower learning_rate"):
        tokenizer.fit(X)
    for value in tokenizer.weights_.values():
        assert np.isfinite(value).all()
    assert np.isfinite(tokenizer.score(X))


def test_does_not_depend_on_the_scale_of_the_data(tokenizer, X, monkeypatch):
    # rows are taken in an order that their bits decide; here they stay as they are
    monkeypatch.setattr(
        "skhyper._utils._rows.distinct_rows", lambda X, w: (np.arange(len(X)), w)
    )
    curve = tokenizer.fit(X).loss_curve_
    codes = tokenizer.transform(X)
    moved = 1e3 * X + 5e3
    other = tokenizer.fit(moved)
    np.testing.assert_allclose(other.loss_curve_, curve, rtol=1e-4)
    assert np.mean(other.transform(moved) == codes) > 0.99


def test_weight_zero_means_absent(tokenizer, X):
    weight = np.ones(len(X))
    weight[::3] = 0
    there = tokenizer.fit(X[weight > 0]).transform(X)
    np.testing.assert_array_equal(
        tokenizer.fit(X, sample_weight=7 * weight).transform(X), there
    )


def test_weights_shift_the_effort(tokenizer, X):
    # one branch of the tree: codes spent there are missing elsewhere
    heavy = make_tree(400, 10, branching=4, depth=2, random_state=0)[1][:, 0] == 0

    def favour(sample_weight):
        tokenizer.fit(X, sample_weight=sample_weight)
        return tokenizer.score(X[~heavy]) / tokenizer.score(X[heavy])

    # how much larger the error of the light rows is
    assert favour(np.where(heavy, 50.0, 1.0)) > 1.5 * favour(None)


def test_ones_as_weights_change_nothing(tokenizer, X):
    curve = tokenizer.fit(X).loss_curve_
    assert tokenizer.fit(X, sample_weight=np.ones(len(X))).loss_curve_ == curve


def test_flat_limit():
    """At vanishing curvature HRQ-VAE takes the steps of RQ-VAE."""
    X = make_tree(200, 8, branching=3, depth=2, random_state=1)[0]
    flat = RQVAETokenizer(**SMALL).fit(X)
    ball = HRQVAETokenizer(**SMALL, curvature=1e-8).fit(X)
    np.testing.assert_allclose(ball.loss_curve_, flat.loss_curve_, rtol=1e-4)
    assert np.mean(ball.transform(X) == flat.transform(X)) > 0.99


@pytest.mark.parametrize("curvature", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("residual", ["exact", "paper", "tangent"])
def test_latents_and_codes_stay_in_the_ball(X, curvature, residual):
    tokenizer = HRQVAETokenizer(
        **{**SMALL, "learning_rate": 0.05}, curvature=curvature, residual=residual
    ).fit(X)
    radius = 1 / np.sqrt(curvature)
    ball = tokenizer._manifold()
    latents = ball.expmap0(tokenizer.embed(X))
    for points in (latents, *tokenizer.codebooks_):
        assert np.linalg.norm(points, axis=1).max() <= 0.95 * radius * (1 + 1e-9)


def test_embed_and_quantize_are_the_two_sides_of_the_codes(tokenizer, X):
    tokenizer.fit(X)
    manifold = tokenizer._manifold()
    assert tokenizer.embed(X).shape == tokenizer.quantize(X).shape == (400, 4)
    codes = tokenizer.transform(X)
    points = manifold.expmap0(tokenizer.embed(X))
    np.testing.assert_array_equal(
        codes[:, 0], manifold.nearest(points, tokenizer.codebooks_[0])
    )
    same = (codes == codes[0]).all(axis=1)
    assert np.ptp(tokenizer.quantize(X)[same], axis=0).max() == 0


def test_float32_rows_train_a_float32_network(tokenizer, X):
    tokenizer.fit(X.astype(np.float32))
    assert tokenizer.weights_["encoder.0.weight"].dtype == np.float32
    assert tokenizer.codebooks_[0].dtype == np.float64
    codes = tokenizer.transform(X.astype(np.float32))
    assert tokenizer.inverse_transform(codes).dtype == np.float32
    assert tokenizer.embed(X.astype(np.float32)).dtype == np.float32
    wide = tokenizer.set_params(dtype="float64").fit(X.astype(np.float32))
    assert wide.weights_["encoder.0.weight"].dtype == np.float64


def test_verbose_logs_a_line_an_epoch(tokenizer, X, caplog):
    with caplog.at_level(logging.INFO, logger="skhyper"):
        tokenizer.set_params(max_iter=4, verbose=1).fit(X)
    assert len(caplog.records) == tokenizer.n_iter_
    assert "epoch 1: loss" in caplog.text


def test_silent_by_default(tokenizer, X, capfd, caplog):
    tokenizer.fit(X)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"device": "abacus"}, "device='abacus'"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": (8, 2.5)}, "hidden_layer_sizes"),
        ({"codebook_size": [4, 4, 4]}, "n_levels=2"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"max_iter": 0}, "max_iter"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_bad_parameters(tokenizer, X, parameters, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.set_params(**parameters).fit(X)


@pytest.mark.parametrize("curvature", [0.0, -1.0, np.nan, np.inf, "auto"])
def test_bad_curvature(X, curvature):
    with pytest.raises(ValueError, match="curvature"):
        HRQVAETokenizer(**SMALL, curvature=curvature).fit(X)


def test_early_stopping_needs_a_row_to_train_on(tokenizer):
    tokenizer.set_params(early_stopping=True, codebook_size=1)
    with pytest.raises(ValueError, match="validation_fraction"):
        tokenizer.fit(np.ones((1, 3)))


def test_no_hidden_layer_and_one_as_an_integer(tokenizer, X):
    linear = tokenizer.set_params(hidden_layer_sizes=()).fit(X)
    assert linear.weights_["encoder.0.weight"].shape == (4, 10)
    one = tokenizer.set_params(hidden_layer_sizes=7).fit(X)
    assert one.weights_["encoder.0.weight"].shape == (7, 10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda(tokenizer, X):
    tokenizer.set_params(device="cuda", max_iter=60).fit(X)
    codes = tokenizer.transform(X)
    assert relative_distortion(X, tokenizer.inverse_transform(codes)) < 0.5
    np.testing.assert_array_equal(tokenizer.transform(X[::-1])[::-1], codes)
