"""Soft VQ: posteriors, their means, and who learns from what."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skhyper import io
from skhyper._nn._posterior import PosteriorMean
from skhyper._utils._posterior import posterior_logits
from skhyper.datasets import make_tree
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.tokenizers import SoftVQTokenizer

SMALL = {
    "latent_dim": 3,
    "hidden_layer_sizes": (16,),
    "max_iter": 10,
    "batch_size": 64,
    "random_state": 0,
}
MANIFOLDS = [Euclidean(), PoincareBall(0.3), PoincareBall(2.7)]
every_manifold = pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
kinds = pytest.mark.parametrize("kind", ["gaussian", "reference"])
geometries = pytest.mark.parametrize("geometry", ["euclidean", "hyperbolic"])
LARGEST_STEP, FIRST_LENGTH = 5.0, 0.4


@pytest.fixture(scope="module")
def X():
    return make_tree(200, 8, branching=4, depth=2, random_state=0)[0]


def scales(kind, extra, n_dims):
    """The noise's scales, from what the encoder says, as the docstrings have it."""
    power = n_dims if kind == "gaussian" else 1
    step = LARGEST_STEP * np.tanh(extra / power / LARGEST_STEP)
    return np.exp(step) * FIRST_LENGTH


def half_distances(manifold, x, codes):
    if manifold.c == 0:
        return np.array([[np.linalg.norm(z - q) for q in codes] for z in x])
    return np.array([[manifold.dist(z, q) / 2 for q in codes] for z in x])


def posterior_by_hand(kind, distance, scale, n_dims):
    """Probabilities in plain numbers: densities at a distance, or the authors' code."""
    if kind == "gaussian":
        weight = scale ** float(-n_dims) * np.exp(-(distance**2) / 2 / scale**2)
    else:
        smooth = 1 / scale**2
        weight = np.exp(-0.5 * distance**2 * smooth) / np.sqrt(smooth)
    return weight / weight.sum(axis=1, keepdims=True)


def softmax(logits):
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


# the formula


@given(seed=st.integers(0, 2**32 - 1), n_dims=st.integers(1, 6))
def test_gaussian_is_bayes_rule_for_normal_densities(seed, n_dims):
    rng = np.random.default_rng(seed)
    z, codes = rng.normal(size=(4, n_dims)), rng.normal(size=(5, n_dims))
    s = rng.uniform(-1.5, 1.5, size=(4, 5))
    sq_dist = ((z[:, None] - codes) ** 2).sum(-1)
    logits = posterior_logits(np, "gaussian", sq_dist, s, n_dims)
    sigma = scales("gaussian", s, n_dims)
    log_density = np.array(
        [
            [
                multivariate_normal(q, sigma[i, k] ** 2).logpdf(z[i])
                for k, q in enumerate(codes)
            ]
            for i in range(4)
        ]
    )
    # in logarithms: a density of 1e-320 has few digits left
    found, expected = log_softmax(logits, axis=1), log_softmax(log_density, axis=1)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_reference_is_the_formula_of_the_authors():
    rng = np.random.default_rng(0)
    sq_dist, s = rng.uniform(0, 4, (6, 5)), rng.uniform(-1, 1, (6, 5))
    found = softmax(posterior_logits(np, "reference", sq_dist, s, 3))
    smooth = 1 / scales("reference", s, 3) ** 2
    weight = np.exp(-0.5 * sq_dist * smooth) / np.sqrt(smooth)
    assert_allclose(found, weight / weight.sum(axis=1, keepdims=True), rtol=1e-12)


@kinds
def test_extreme_scales_are_finite_and_have_a_gradient(kind):
    log_scale = (
        torch.tensor([[-1e30, -30.0, 0.0, 30.0, 1e30]]).double().requires_grad_()
    )
    sq_dist = torch.tensor([[1e4, 0.0, 1.0, 1e-300, 1e4]]).double().requires_grad_()
    logits = posterior_logits(torch, kind, sq_dist, log_scale, 64)
    assert torch.isfinite(logits).all()
    grads = torch.autograd.grad(logits.sum(), (log_scale, sq_dist))
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert (grads[0][0, 1:4] != 0).all()


# the bottleneck


def bottleneck(manifold, kind="gaussian", n_codes=5, n_dims=3, commitment_weight=0.7):
    part = PosteriorMean(
        manifold, n_codes=n_codes, posterior=kind, commitment_weight=commitment_weight
    )
    rng = np.random.RandomState(0)
    tangents = 0.5 * rng.randn(n_codes, n_dims)
    part.codebooks.start([tangents], torch.float64, torch.device("cpu"))
    u = torch.from_numpy(0.5 * rng.randn(7, n_dims)).requires_grad_()
    extra = torch.from_numpy(rng.randn(7, n_codes)).requires_grad_()
    return part, u, extra


@every_manifold
@kinds
def test_the_posterior_is_that_of_half_distances(manifold, kind):
    part, u, extra = bottleneck(manifold, kind)
    z = manifold.expmap0(u.detach().numpy())
    codes = part.codebooks.points()[0].detach().numpy()
    (points,) = part.codebooks.points()
    found = part.posterior(torch.from_numpy(z), extra, points).detach().numpy()
    scale = scales(kind, extra.detach().numpy(), 3)
    expected = posterior_by_hand(kind, half_distances(manifold, z, codes), scale, 3)
    assert_allclose(found, expected, rtol=1e-8)


@every_manifold
def test_the_mean_is_the_manifolds_one_row_at_a_time(manifold):
    part, _, _ = bottleneck(manifold)
    proba = np.random.default_rng(1).dirichlet(np.ones(5), size=6)
    (points,) = part.codebooks.points()
    found = part.mean(torch.from_numpy(proba), points).detach().numpy()
    codes = points.detach().numpy()
    for row, weight in zip(found, proba, strict=True):
        assert_allclose(row, manifold.midpoint(codes, weight), atol=1e-9)


@every_manifold
@kinds
def test_the_decoder_gets_the_mean_and_the_loss_its_two_distances(manifold, kind):
    part, u, extra = bottleneck(manifold, kind)
    passed = part(u, extra, torch.ones(7), True)
    z = manifold.expmap0(u.detach().numpy())
    codes = part.codebooks.points()[0].detach().numpy()
    scale = scales(kind, extra.detach().numpy(), 3)
    proba = posterior_by_hand(kind, half_distances(manifold, z, codes), scale, 3)
    means = np.array([manifold.midpoint(codes, weight) for weight in proba])
    tangents = manifold.logmap0(means)
    assert_allclose(passed.tangents.detach().numpy(), tangents, rtol=1e-7)
    weight = 1.0 + 0.7 * pull(u.detach().numpy(), tangents)
    for i in range(7):
        distance = half_distances(manifold, z[i : i + 1], means[i : i + 1])[0, 0]
        assert float(passed.losses[i].detach()) == pytest.approx(weight * distance**2)
    assert_array_equal(passed.codes[0], proba.argmax(axis=1))


def pull(u, quantized):
    """The share of the commitment: what codes explain, or the room that is left."""
    spread = np.mean(np.sum((u - u.mean(axis=0)) ** 2, axis=1))
    explained = 1.0 - np.mean(np.sum((quantized - u) ** 2, axis=1)) / spread
    room = (spread / FIRST_LENGTH**2 - 0.25) / 0.75
    return min(1.0, max(0.0, explained, room))


def commitment(part, u, extra):
    """What the losses of a batch grow by with the commitment's weight."""
    losses = []
    for part.commitment_weight in (1.0, 0.0):
        losses.append(part(u, extra, torch.ones(len(u)), True).losses.detach())
    return (losses[0] - losses[1]) / losses[1]


@pytest.mark.parametrize("size", [0.1, 0.19, 0.3, 0.4, 1.0, 10.0])
def test_latents_that_have_lost_their_spread_are_not_pulled(size):
    part, u, extra = bottleneck(Euclidean())
    u = (u - u.mean(dim=0)).detach()
    u = u * size / torch.sqrt(torch.mean(torch.sum(u**2, dim=1)))
    means = part(u, extra, torch.ones(7), True).tangents.detach().numpy()
    found = commitment(part, u, extra).numpy()
    assert_allclose(found, pull(u.numpy(), means), rtol=1e-6, atol=1e-12)
    assert (found == 0).all() if size < 0.2 else (found > 0).all()
    # codes that tell them apart may pull them all the same
    part.codebooks.levels[0].data = u[:5].clone()
    quiet = torch.full((5, 5), -1e9, dtype=torch.float64)
    assert_allclose(commitment(part, u[:5] + 1e-3 * size, quiet), 1.0, rtol=1e-3)


def test_the_pull_of_a_new_network_grows():
    part, u, extra = bottleneck(Euclidean())
    u = 10 * u.detach()
    shares = []
    for share in (0.0, 0.05, 0.1, 0.7):
        part.anneal(share)
        shares.append(float(commitment(part, u, extra)[0]))
    assert_allclose(shares, [0.1, 0.5, 1.0, 1.0])
    part.is_new = False
    part.anneal(0.0)
    assert_allclose(commitment(part, u, extra), 1.0)


@every_manifold
@kinds
def test_training_and_use_see_the_same_mean(manifold, kind):
    part, u, extra = bottleneck(manifold, kind)
    one, other = (part(u, extra, torch.ones(7), train) for train in (True, False))
    assert torch.equal(one.tangents, other.tangents)


def gradients(value, *tensors):
    return torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)


@every_manifold
def test_who_learns_from_what(manifold):
    part, u, extra = bottleneck(manifold, commitment_weight=0.0)
    (codes,) = part.codebooks.levels
    passed = part(u, extra, torch.ones(7), True)
    # the decoder's gradient passes straight to the latent, and reaches nothing else
    g = torch.randn(7, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    to_u, to_extra, to_codes = gradients((passed.tangents * g).sum(), u, extra, codes)
    assert torch.equal(to_u, g)
    assert to_extra is None
    assert to_codes is None
    # the first distance moves codes and scales, and no latent
    to_u, to_extra, to_codes = gradients(passed.losses.sum(), u, extra, codes)
    assert to_u is None or not to_u.any()
    assert (to_extra.abs().sum(dim=1) > 0).all()
    assert (to_codes.abs().sum(dim=1) > 0).all()
    # the second moves latents, and neither codes nor scales
    part.commitment_weight = 1e9
    losses = part(u, extra, torch.ones(7), True).losses.sum()
    to_u, with_extra, with_codes = gradients(losses, u, extra, codes)
    torch.testing.assert_close(with_extra, to_extra)
    torch.testing.assert_close(with_codes, to_codes)
    twin = u.detach().clone().requires_grad_()
    z_hat = manifold.expmap0(passed.tangents.detach())
    pull = manifold.sq_half_dist(manifold.expmap0(twin), z_hat).sum()
    (expected,) = gradients(pull, twin)
    torch.testing.assert_close(to_u / 1e9, expected, rtol=1e-6, atol=1e-9)


@every_manifold
def test_gradients_of_codes_and_scales_are_those_of_finite_differences(manifold):
    part, u, extra = bottleneck(manifold, commitment_weight=0.0)
    (codes,) = part.codebooks.levels
    z = manifold.expmap0(u.detach())

    def loss(tangents, extra):
        points = manifold.expmap0(tangents)
        return manifold.sq_half_dist(
            z, part.mean(part.posterior(z, extra, points), points)
        )

    assert torch.autograd.gradcheck(loss, (codes, extra))


@every_manifold
@kinds
def test_noise_that_vanishes_makes_hard_codes(manifold, kind):
    part, u, _ = bottleneck(manifold, kind)
    quiet = torch.full((7, 5), -1e9, dtype=torch.float64)
    passed = part(u, quiet, torch.ones(7), True)
    z = manifold.expmap0(u.detach().numpy())
    codes = part.codebooks.points()[0].detach().numpy()
    nearest = half_distances(manifold, z, codes).argmin(axis=1)
    assert_array_equal(passed.codes[0], nearest)
    expected = manifold.logmap0(codes[nearest])
    assert_allclose(passed.tangents.detach().numpy(), expected, atol=1e-6)


@every_manifold
def test_loud_noise_makes_all_codes_alike(manifold):
    part, u, _ = bottleneck(manifold)
    (points,) = part.codebooks.points()
    loud = torch.full((7, 5), 1e9, dtype=torch.float64)
    proba = part.posterior(manifold.expmap0(u), loud, points)
    assert_allclose(proba.detach().numpy(), 0.2, rtol=1e-3)


@every_manifold
def test_a_latent_on_a_code_has_finite_gradients(manifold):
    part, u, extra = bottleneck(manifold)
    u.data[0] = part.codebooks.levels[0].detach()[2]
    u.data[1] = 0.0
    passed = part(u, extra, torch.ones(7), True)
    (passed.losses.sum() + passed.tangents.sum()).backward()
    for tensor in (u, extra, part.codebooks.levels[0]):
        assert torch.isfinite(tensor.grad).all()


# the estimator


class Told(torch.nn.Module):
    """Rows of a latent and what is said of the scales, handed on as they are."""

    def __init__(self, n=8):
        super().__init__()
        self.keep = torch.nn.Parameter(torch.zeros(1, n))

    def forward(self, x):
        return x + 0.0 * self.keep


@kinds
@geometries
def test_predict_proba_is_bayes_rule(kind, geometry):
    """With an encoder that lets the test choose latents and scales."""
    rows = np.random.default_rng(0).normal(size=(60, 8))
    model = SoftVQTokenizer(
        5, **SMALL, posterior=kind, geometry=geometry, curvature=0.8, encoder=Told()
    ).fit(rows)
    manifold, (codes,) = model._manifold(), model.codebooks_
    assert model.curvature_ == (0.8 if geometry == "hyperbolic" else 0)
    z = manifold.expmap0(model.embed(rows))
    extra = ((rows - model.offset_) / model.scale_)[:, 3:]
    distance, scale = half_distances(manifold, z, codes), scales(kind, extra, 3)
    expected = posterior_by_hand(kind, distance, scale, 3)
    proba = model.predict_proba(rows)
    assert_allclose(proba, expected, rtol=1e-8)
    assert_array_equal(model.transform(rows)[:, 0], expected.argmax(axis=1))
    # which need not be the nearest code
    assert (distance.argmin(axis=1) != expected.argmax(axis=1)).any()


@kinds
@geometries
def test_the_contract(kind, geometry, X):
    model = SoftVQTokenizer(6, **SMALL, posterior=kind, geometry=geometry).fit(X)
    proba, codes = model.predict_proba(X), model.transform(X)
    assert proba.shape == (200, 6)
    assert proba.dtype == np.float64
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(codes[:, 0], proba.argmax(axis=1))
    assert_array_equal(model.predict(X), codes[:, 0])
    assert model.codes_shape_ == (1,)
    # the decoder gets the mean
    manifold, (book,) = model._manifold(), model.codebooks_
    means = np.array([manifold.midpoint(book, row) for row in proba])
    tangents = manifold.logmap0(means)
    assert_allclose(model.quantize(X), tangents, rtol=1e-6, atol=1e-9)
    back = model.inverse_transform(proba)
    assert back.dtype == X.dtype
    assert_allclose(back, model._decode_latents(tangents), rtol=1e-5, atol=1e-6)
    assert model.score(X) == pytest.approx(-np.mean((X - back) ** 2), rel=1e-6)
    # a code decodes as itself, as a probability of 1 does
    sure = np.eye(6)[codes[:, 0]]
    decoded = model.inverse_transform(codes)
    assert_allclose(model.inverse_transform(sure), decoded, rtol=1e-6, atol=1e-9)
    same = np.flatnonzero(codes[:, 0] == codes[0, 0])
    assert_array_equal(decoded[same], np.repeat(decoded[:1], len(same), axis=0))
    # rows alone, in any order, and of copies
    assert_array_equal(model.predict_proba(X[::-7]), proba[::-7])
    assert_array_equal(model.predict_proba(X[:1]), proba[:1])
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
    assert_array_equal(copy.deepcopy(model).predict_proba(X), proba)


def test_flat_limit_of_the_ball(X):
    """Half distances: a small curvature gives the numbers of flat space."""
    flat = SoftVQTokenizer(6, **SMALL).fit(X)
    small = clone(flat).set_params(geometry="hyperbolic", curvature=1e-8).fit(X)
    assert_allclose(small.loss_curve_, flat.loss_curve_, rtol=1e-5)
    assert_allclose(small.codebooks_[0], flat.codebooks_[0], atol=1e-4)
    assert_allclose(small.predict_proba(X), flat.predict_proba(X), atol=1e-3)
    assert_array_equal(small.transform(X), flat.transform(X))
    assert small.score(X) == pytest.approx(flat.score(X), rel=1e-3)
    curved = clone(flat).set_params(geometry="hyperbolic", curvature=1.0).fit(X)
    assert np.abs(np.subtract(curved.loss_curve_, flat.loss_curve_)).max() > 1e-3


@geometries
def test_it_learns(geometry, X):
    y = make_tree(200, 8, branching=4, depth=2, random_state=0)[1][:, 0]
    model = SoftVQTokenizer(
        12,
        **{**SMALL, "max_iter": 50, "learning_rate": 5e-3},
        commitment_weight=1.0,
        geometry=geometry,
    )
    assert model.fit(X).error_curve_[-1] < 0.5 * model.error_curve_[0]
    assert -model.score(X) < 0.6 * X.var(axis=0).mean()
    assert model.codebook_usage_[0] >= 0.5

    class Latents(SoftVQTokenizer):
        """What the paper classifies: the latents, before quantization."""

        transform = SoftVQTokenizer.embed

    latents = make_pipeline(Latents(**model.get_params()), LogisticRegression())
    assert latents.fit(X, y).score(X, y) > 0.9


def test_validation_rows_are_read_softly_as_in_training(X):
    """The error that decides is that of the mean, which the decoder is trained on."""
    model = SoftVQTokenizer(6, **SMALL).fit(X, X_val=X)
    best = -max(model.validation_scores_)
    network, (codes,) = model._network(), model.codebooks_
    proba = model.predict_proba(X)
    mean = torch.from_numpy(proba @ codes)
    with torch.no_grad():
        decoded = network.decode(mean).numpy() * model.scale_ + model.offset_
    error = np.mean((X - decoded) ** 2) / model.scale_**2
    assert error == pytest.approx(best, rel=1e-9)


@geometries
def test_files(geometry, X, tmp_path):
    model = SoftVQTokenizer(6, **SMALL, geometry=geometry).fit(X)
    io.save(model, tmp_path / "file")
    twin = io.load(tmp_path / "file")
    assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    # an encoder without the outputs for the scales
    weight = model.weights_["encoder.2.weight"]
    model.weights_["encoder.2.weight"] = weight[:3]
    model.weights_["encoder.2.bias"] = model.weights_["encoder.2.bias"][:3]
    with pytest.raises(ValueError, match="last layer of the encoder has shape"):
        io.save(model, tmp_path / "file")


def test_chunks_and_warm_starts(X):
    model = SoftVQTokenizer(6, **SMALL)
    model.partial_fit(X[:4])
    with pytest.raises(NotFittedError):
        model.predict_proba(X)
    model.partial_fit(X[:100])
    twin = pickle.loads(pickle.dumps(model)).partial_fit(X[100:])
    assert_array_equal(
        twin.predict_proba(X), model.partial_fit(X[100:]).predict_proba(X)
    )
    model = SoftVQTokenizer(6, **SMALL, warm_start=True).fit(X)
    before = model.error_curve_[0]
    assert model.fit(X).error_curve_[0] < before


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"codebook_size": 9},
            "codebook_size=9 is not 6, as fitted.*Set codebook_size",
        ),
        (
            {"codebook_size": 4},
            "codebook_size=4 is not 6, as fitted.*Set codebook_size",
        ),
        ({"geometry": "hyperbolic"}, "geometry='hyperbolic' is not 'euclidean'"),
    ],
)
def test_what_training_cannot_go_on_with(way, change, message, X):
    model = SoftVQTokenizer(6, **SMALL, warm_start=True).fit(X)
    proba = model.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        getattr(model.set_params(**change), way)(X)
    assert_array_equal(model.predict_proba(X), proba)


def test_training_in_the_ball_cannot_go_on_elsewhere(X):
    model = SoftVQTokenizer(6, **SMALL, warm_start=True, geometry="hyperbolic").fit(X)
    with pytest.raises(ValueError, match=r"curvature=0\.5 is not 1\.0"):
        model.set_params(curvature=0.5).fit(X)
    with pytest.raises(ValueError, match="geometry='euclidean' is not 'hyperbolic'"):
        model.set_params(geometry="euclidean").fit(X)


def test_fewer_distinct_rows_than_codes_still_fill_the_codebook(X):
    """The encoder has an output for each code."""
    with pytest.raises(ValueError, match=r"codebook_size=6.*n_samples = 4\. L"):
        SoftVQTokenizer(6, **SMALL).fit(X[:4])
    match = "codebook_size=6.*too few distinct rows.*4 latents.*Lower"
    with pytest.warns(ConvergenceWarning, match=match):
        model = SoftVQTokenizer(6, **SMALL).fit(np.repeat(X[:4], 3, axis=0))
    assert model.codebooks_[0].shape == (6, 3)
    assert model.predict_proba(X).shape == (200, 6)


@pytest.mark.parametrize("shape", [None, (1, 8, 8)])
def test_means_bring_back_more_than_single_codes(shape):
    """What was trained is what `score` measures and probabilities bring back."""
    X = load_digits().data[:400]
    own = {"input_shape": shape, "n_channels": 8, "latent_dim": 8, "max_iter": 15}
    model = SoftVQTokenizer(16, **SMALL | own).fit(X)
    soft = np.mean((X - model.inverse_transform(model.predict_proba(X))) ** 2)
    assert -model.score(X) == pytest.approx(soft, rel=1e-6)
    assert soft / model.scale_**2 == pytest.approx(min(model.error_curve_), rel=0.1)
    hard = np.mean((X - model.inverse_transform(model.transform(X))) ** 2)
    assert soft < hard


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        (np.full((2, 6), 0.5), "row 0 that sum to 3; they must.*Divide"),
        (np.array([6 * [1 / 6], [1.5, -0.5, 0, 0, 0, 0]]), "row 1 .*at least 0"),
        (np.full((2, 6), np.nan), "row 0 that sum to nan"),
        (np.full((2, 5), 0.2), "codes must be integers, got dtype float64"),
        (np.zeros((2, 1)), "codes must be integers, got dtype float64"),
    ],
)
def test_probabilities_that_are_none(proba, message, X):
    model = SoftVQTokenizer(6, **SMALL | {"max_iter": 1}).fit(X)
    with pytest.raises(ValueError, match=message):
        model.inverse_transform(proba)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("posterior", "normal"),
        ("geometry", "flat"),
        ("curvature", 0.0),
        ("curvature", np.inf),
        ("commitment_weight", -0.1),
        ("codebook_size", (4, 4)),
        ("encoder", "hyperbolic"),
    ],
)
def test_parameters_out_of_range(parameter, value, X):
    model = SoftVQTokenizer(6, **SMALL).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        model.fit(X)


def test_own_encoders_say_the_scales(X):
    encoder = torch.nn.Linear(8, 3 + 6)
    model = SoftVQTokenizer(6, **SMALL, encoder=encoder).fit(X)
    assert model.predict_proba(X).shape == (200, 6)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 9\).*latent_dim \+ 6"):
        model.set_params(encoder=torch.nn.Linear(8, 3)).fit(X)
