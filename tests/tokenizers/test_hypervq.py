"""HyperVQ: hyperplanes as codes, from their logits to the trained tokenizer."""

import itertools
import math
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skhyper import io
from skhyper._nn._codebooks import LARGEST_RADIUS
from skhyper._nn._hyperplanes import Hyperplanes, unevenness
from skhyper._nn._layers import mlp
from skhyper._nn._model import Autoencoder
from skhyper._nn._runtime import seeded
from skhyper._nn._train import Trainer
from skhyper._utils._weights import distinct_rows
from skhyper.datasets import make_tree
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import perplexity
from skhyper.tokenizers import HyperVQTokenizer

from .models import batch

SMALL = {
    "latent_dim": 4,
    "hidden_layer_sizes": (16,),
    "max_iter": 10,
    "batch_size": 64,
    "random_state": 0,
}
CPU = torch.device("cpu")
DRAWN = ["gumbel", "reinmax"]
drawn = pytest.mark.parametrize("gradient", DRAWN)
levels = pytest.mark.parametrize("n_levels", [1, 2])
curvatures = pytest.mark.parametrize("c", [1e-8, 0.3, 1.0, 2.7])


@pytest.fixture(scope="module")
def X():
    return make_tree(240, 8, branching=4, depth=2, random_state=0)[0]


def ganea(c, x, p, a, gain):
    """Logits in the form of Ganea et al. 2018, Eq. 25, a quarter of them, in loops."""
    ball, logits = PoincareBall(c), np.empty((len(x), len(p)))
    for k in range(len(p)):
        for i in range(len(x)):
            moved = ball.add(-p[k], x[i])
            sine = 2 * c**0.5 * (moved @ a[k]) / (1 - c * moved @ moved)
            logits[i, k] = 2 * gain[k] / c**0.5 * math.asinh(sine) / 4
    return logits


def slow_codes(model, X):
    """The largest logits of each level, from nothing but what is public."""
    c, ball = model.curvature_, PoincareBall(model.curvature_)
    rest, columns = ball.expmap0(model.embed(X)), []
    for codes, gains in zip(model.codebooks_, model.gains_, strict=True):
        normals = codes / np.linalg.norm(codes, axis=1, keepdims=True)
        logits = ganea(c, rest, codes, normals, gains)
        columns.append(logits.argmax(axis=1))
        rest = ball.add(-codes[columns[-1]], rest)
    return np.stack(columns, axis=1)


def hyperplanes(tangents, c=1.0, gains=None, **parameters):
    """A bottleneck with the given tangent vectors, one array a level."""
    ball = PoincareBall(c) if c else Euclidean()
    given = {"gradient": "gumbel", "temperatures": (1.0, 1.0), "entropy_weight": 0.0}
    part = Hyperplanes(ball, **{**given, **parameters})
    part.codebooks.start(tangents, torch.float64, CPU)
    if gains is not None:
        part.codebooks.set_gains(gains)
    part.generator = torch.Generator().manual_seed(0)
    return part


def some(n, d=4, scale=0.5, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(n, d))


# codes are the largest logits


@levels
@curvatures
def test_transform_is_the_argmax_of_ganeas_logits(n_levels, c, X):
    model = HyperVQTokenizer(n_levels, 6, **SMALL, curvature=c).fit(X)
    assert model.curvature_ == c
    codes = model.transform(X)
    assert_array_equal(codes, slow_codes(model, X))
    assert codes.shape == (240, n_levels)
    assert len(np.unique(codes, axis=0)) > 3
    assert model.codes_shape_ == (n_levels,)
    assert_array_equal(model.labels_, codes[:, 0])
    for book, gains in zip(model.codebooks_, model.gains_, strict=True):
        assert book.shape == (6, 4)
        assert gains.shape == (6,)
        assert gains.dtype == np.float64
        assert (gains > 0).all()


@levels
@pytest.mark.parametrize("c", [0.3, 1.0, 2.7])
def test_representatives_lie_on_their_hyperplanes_and_off_the_origin(n_levels, c, X):
    model = HyperVQTokenizer(n_levels, 6, **SMALL, curvature=c).fit(X)
    for codes, gains in zip(model.codebooks_, model.gains_, strict=True):
        lengths = np.linalg.norm(codes, axis=1)
        assert lengths.min() > 1e-3
        assert lengths.max() <= LARGEST_RADIUS / c**0.5 * (1 + 1e-12)
        normals = codes / lengths[:, None]
        own = np.diagonal(ganea(c, codes, codes, normals, gains))
        assert_allclose(own, 0, atol=1e-9)
        # the point of the plane nearest to the origin: all others are farther
        ball = PoincareBall(c)
        for p, a in zip(codes, normals, strict=True):
            across = some(20, seed=1)
            across -= np.outer(across @ a, a)
            others = ball.expmap(p, across)
            assert_allclose(ganea(c, others, p[None], a[None], [1.0]), 0, atol=1e-8)
            assert (np.linalg.norm(others, axis=1) > np.linalg.norm(p)).all()


def test_levels_telescope_by_moebius_addition(X):
    model = HyperVQTokenizer(2, 6, **SMALL, curvature=0.8).fit(X)
    ball, codes = PoincareBall(0.8), model.transform(X)
    one, two = (book[col] for book, col in zip(model.codebooks_, codes.T, strict=True))
    points = ball.expmap0(model.quantize(X))
    assert_allclose(points, ball.add(one, two), atol=1e-12)
    z = ball.expmap0(model.embed(X))
    rest = ball.add(-two, ball.add(-one, z))
    origin = np.zeros_like(rest)
    assert_allclose(ball.dist(points, z), ball.dist(origin, rest), rtol=1e-9)
    first = model.inverse_transform(codes[:, :1])
    whole = model.inverse_transform(codes)
    assert np.mean((X - whole) ** 2) < np.mean((X - first) ** 2)


@levels
def test_rows_alone_or_with_others(n_levels, X):
    model = HyperVQTokenizer(n_levels, 6, **SMALL).fit(X)
    many = np.concatenate([X, X[::-1], X])[:600]
    expected = model.transform(many)
    for rows in (slice(1), slice(3, 260), slice(599, None, -7)):
        assert_array_equal(model.transform(many[rows]), expected[rows])
    assert_array_equal(pickle.loads(pickle.dumps(model)).transform(many), expected)


# the start


class Started(Exception):
    def __init__(self, model):
        self.model = model


def started(tokenizer, X):
    """The network at the moment when its codebooks start, and the latents."""

    def stop(trainer, *args, **kwargs):
        raise Started(trainer)

    with mock.patch.object(Trainer, "run", stop), pytest.raises(Started) as caught:
        clone(tokenizer).fit(X)
    trainer = caught.value.model
    model = trainer.model.eval()
    with torch.no_grad():
        u, extra = model.latents(trainer.X)
        passed = model.bottleneck(u.double(), extra, torch.ones(len(u)), False)
    return model, u.numpy().astype(np.float64), [c.numpy() for c in passed.codes]


def normal_rows(n=1500, d=32):
    return np.random.RandomState(0).randn(n, d)


def plain(**parameters):
    """A tokenizer whose latents are its rows, centred and scaled."""
    same = torch.nn.Identity()
    return HyperVQTokenizer(
        **{"latent_dim": 32, "max_iter": 1, "encoder": same, "decoder": same},
        random_state=0,
        **parameters,
    )


@pytest.mark.parametrize("c", [1e-6, 1.0])
def test_no_collapse_at_the_start(c):
    """HNN++'s own start uses 8 codes of 512 here, and all are the origin."""
    model, _, (codes,) = started(plain(codebook_size=64, curvature=c), normal_rows())
    assert perplexity(codes[:, None])[0] > 32
    assert len(np.unique(codes)) > 60
    tangents = model.codebooks.tangents()[0]
    assert np.linalg.norm(tangents, axis=1).min() > 0.05


@pytest.mark.parametrize("c", [1e-8, 1e-4])
def test_in_flat_space_the_start_is_k_means(c):
    """Planes halfway to the centroids, with gains in proportion to the offsets."""
    tokenizer = plain(codebook_size=24, curvature=c)
    model, u, (codes,) = started(tokenizer, normal_rows(600))
    (halfway,) = model.codebooks.tangents()
    (gains,) = model.codebooks.gains()
    offsets = np.linalg.norm(halfway, axis=1)
    assert offsets.min() > 0.05
    assert_allclose(gains / offsets, gains[0] / offsets[0])
    nearest = ((u[:, None] - 2 * halfway) ** 2).sum(-1).argmin(axis=1)
    assert np.mean(codes == nearest) > 0.999
    # and they are centroids, such as Lloyd's algorithm ends on
    means = np.array([u[nearest == k].mean(axis=0) for k in range(24)])
    assert_allclose(means, 2 * halfway, atol=0.05)


def test_later_levels_start_on_what_the_representatives_leave(X):
    """Half of a centroid is taken away, and not all of it."""
    tokenizer = HyperVQTokenizer(2, 6, **SMALL, curvature=0.5)
    model, u, codes = started(tokenizer, X)
    ball = model.manifold
    first, second = (ball.expmap0(t) for t in model.codebooks.tangents())
    rest = ball.add(-first[codes[0]], ball.expmap0(u))
    for k in np.unique(codes[1]):
        centroid = ball.logmap0(ball.midpoint(rest[codes[1] == k])[None])[0]
        halfway = ball.logmap0(second[k : k + 1])[0]
        cosine = centroid @ halfway / np.linalg.norm(centroid) / np.linalg.norm(halfway)
        assert cosine > 0.7
    lengths = [np.linalg.norm(ball.logmap0(p), axis=1) for p in (rest, second)]
    assert np.median(lengths[1]) > 0.25 * np.median(lengths[0])
    used = [len(np.unique(column)) for column in codes]
    assert min(used) >= 5


def test_revived_planes_stand_halfway_to_the_point(X):
    part = hyperplanes([some(5)], c=0.7)
    new = PoincareBall(0.7).expmap0(some(2, seed=3, scale=1.0))
    part.codebooks.revive(0, torch.tensor([1, 4]), torch.from_numpy(new), [])
    found = part.codebooks.tangents()[0]
    expected = PoincareBall(0.7).logmap0(new) / 2
    assert_allclose(found[[1, 4]], expected, rtol=1e-9)
    assert_allclose(found[[0, 2, 3]], some(5)[[0, 2, 3]])
    ratio = part.codebooks.gains()[0] / np.linalg.norm(found, axis=1)
    assert_allclose(ratio, ratio[0])
    # each such point now wants its own plane more than it wants the others
    logits = part.codebooks.logits(0, torch.from_numpy(new)).detach().numpy()
    assert (np.diagonal(logits[:, [1, 4]]) > 0).all()


# numbers that could overflow


@pytest.mark.parametrize("c", [0.3, 1.0, 50.0])
def test_codes_are_kept_within_the_ball(c):
    part = hyperplanes([some(5, scale=1e6)], c=c)
    part.codebooks.after_step([], [], torch.ones(1))
    radius = np.linalg.norm(part.codebooks.points()[0].detach().numpy(), axis=1)
    assert_allclose(radius, LARGEST_RADIUS / c**0.5)
    part = hyperplanes([np.zeros((3, 4))], c=c)
    part.codebooks.after_step([], [], torch.ones(1))
    assert not np.any(part.codebooks.tangents()[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gradient", ["exact", *DRAWN])
def test_huge_data_are_finite(dtype, gradient, X):
    scale = 1e30 if dtype == "float32" else 1e150
    rows = (X * scale).astype(dtype)
    model = HyperVQTokenizer(
        codebook_size=6, **{**SMALL, "learning_rate": 0.1}, gradient=gradient
    )
    model.fit(rows)
    assert np.isfinite(model.loss_curve_).all()
    assert all(np.isfinite(value).all() for value in model.weights_.values())
    assert np.isfinite(model.gains_[0]).all()
    assert np.linalg.norm(model.codebooks_[0], axis=1).max() <= LARGEST_RADIUS + 1e-9
    codes = model.transform(rows)
    rebuilt = model.inverse_transform(codes)
    assert np.mean((rebuilt / scale - X) ** 2) < 0.6 * X.var(axis=0).mean()
    far = rows.copy()
    far[0] = np.finfo(dtype).max / 1e4
    assert model.transform(far)[0, 0] < 6


def test_a_code_at_the_origin_has_finite_gradients():
    tangents = some(5)
    tangents[2] = 0
    part = hyperplanes([tangents])
    u = torch.from_numpy(some(7, seed=1)).requires_grad_()
    passed = part(u, u[:, :0], torch.ones(7), True)
    (passed.tangents.sum() + passed.losses.sum()).backward()
    for tensor in (u, part.codebooks.levels[0], part.codebooks.log_gains[0]):
        assert torch.isfinite(tensor.grad).all()


# the entropy term


@given(n_codes=st.integers(2, 50), temperature=st.floats(0.1, 2))
def test_unevenness_is_zero_for_even_codes_and_one_for_a_single(n_codes, temperature):
    each = torch.eye(n_codes, dtype=torch.float64)
    ones = torch.ones(n_codes, dtype=torch.float64)
    even = unevenness(1e9 * each / temperature, ones)
    assert float(even) == pytest.approx(0, abs=1e-9)
    assert float(unevenness(0 * each, ones)) == pytest.approx(0, abs=1e-9)
    single = 1e9 * each[:1].expand(n_codes, -1)
    assert float(unevenness(single, ones)) == pytest.approx(1)


@given(seed=st.integers(0, 2**32 - 1))
def test_unevenness_is_the_share_of_entropy_that_is_lacking(seed):
    rng = np.random.default_rng(seed)
    logits, weight = rng.normal(size=(9, 5)), rng.uniform(0.1, 3, 9)
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mean = np.average(proba, axis=0, weights=weight)
    expected = 1 + np.sum(mean * np.log(mean)) / np.log(5)
    found = float(unevenness(torch.from_numpy(logits), torch.from_numpy(weight)))
    assert found == pytest.approx(expected)
    assert -1e-12 <= found <= 1


def test_unevenness_of_one_code_and_of_none_wanted_is_finite():
    logits = torch.tensor([[0.0], [3.0]], requires_grad=True)
    assert float(unevenness(logits, torch.ones(2)).detach()) == 1
    sharp = torch.tensor([[1e9, 0.0, -1e9]] * 2, requires_grad=True)
    unevenness(sharp, torch.ones(2)).backward()
    assert torch.isfinite(sharp.grad).all()


def test_the_entropy_term_evens_out_the_codes(X):
    found = {}
    for weight in (0.0, 3.0):
        model = HyperVQTokenizer(
            codebook_size=16,
            **{**SMALL, "max_iter": 40, "learning_rate": 5e-3},
            entropy_weight=weight,
        )
        codes = model.fit(X).transform(X)
        found[weight] = perplexity(codes)[0]
    assert found[3.0] > found[0.0] + 1


# draws


@drawn
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_of_draws_follow_the_softmax(gradient, temperature):
    """ReinMax draws at the temperature; Gumbel's draws do not depend on it."""
    part = hyperplanes(
        [some(5)], gradient=gradient, temperatures=(temperature, temperature)
    )
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5, -3.0], dtype=torch.float64)
    with torch.no_grad():
        draws = part._draw(logits.expand(40_000, 5)).numpy()
    assert_allclose(draws.sum(axis=1), 1)
    assert set(np.unique(draws.round(12))) == {0, 1}
    sharp = logits.numpy() / (temperature if gradient == "reinmax" else 1)
    expected = np.exp(sharp) / np.exp(sharp).sum()
    counts = draws.round().sum(axis=0)
    assert chisquare(counts, 40_000 * expected).pvalue > 1e-3


def test_gumbel_passes_the_gradient_of_the_soft_draw():
    """Jang et al. 2017: hard forward, and backward as if the draw were soft."""
    part = hyperplanes([some(5)], temperatures=(0.7, 0.7))
    logits = torch.from_numpy(some(6, 5, 2.0, seed=4)).requires_grad_()
    g = torch.from_numpy(some(6, 5, seed=5))
    (found,) = torch.autograd.grad((part._draw(logits) * g).sum(), logits)
    waits = torch.empty(6, 5).double().exponential_(generator=torch.manual_seed(0))
    twin = logits.detach().clone().requires_grad_()
    soft = torch.softmax((twin - torch.log(waits)) / 0.7, dim=-1)
    (expected,) = torch.autograd.grad((soft * g).sum(), twin)
    torch.testing.assert_close(found, expected)


def quadratic(draw, a, b):
    return draw @ a @ draw + b @ draw


def test_reinmax_is_exact_for_what_is_quadratic_in_the_draw():
    """Liu et al. 2023, Theorem 3.1: in the mean over draws, and at temperature 1."""
    part = hyperplanes([some(4)], gradient="reinmax")
    rng = np.random.default_rng(0)
    a, b = (
        torch.from_numpy(rng.normal(size=(4, 4))),
        torch.from_numpy(rng.normal(size=4)),
    )
    logits = torch.from_numpy(rng.normal(size=4)).requires_grad_()
    codes = torch.eye(4, dtype=torch.float64)
    proba = torch.softmax(logits, dim=0)
    values = torch.stack([quadratic(code, a, b) for code in codes])
    (exact,) = torch.autograd.grad((proba * values).sum(), logits)
    mean = torch.zeros_like(exact)
    for k in range(4):
        noise = torch.full((1, 4), -1e9, dtype=torch.float64)
        noise[0, k] = 1e9
        draw = part.draw(logits[None], noise, 1.0)
        torch.testing.assert_close(draw.detach()[0], codes[k])
        (slope,) = torch.autograd.grad(quadratic(draw[0], a, b), logits)
        mean += proba[k].detach() * slope
    torch.testing.assert_close(mean, exact)


@drawn
@levels
def test_fits_are_reproducible_and_leave_the_generators_alone(gradient, n_levels, X):
    model = HyperVQTokenizer(n_levels, 6, **SMALL, gradient=gradient)
    before = torch.get_rng_state()
    first, again = clone(model).fit(X), clone(model).fit(X)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.loss_curve_ == again.loss_curve_
    assert_array_equal(first.codebooks_[0], again.codebooks_[0])
    other = clone(model).set_params(random_state=1).fit(X)
    assert other.loss_curve_ != first.loss_curve_
    codes = first.transform(X)
    torch.manual_seed(3)
    assert_array_equal(first.transform(X), codes)


def test_codes_of_use_are_not_drawn():
    part = hyperplanes([some(5), some(4, seed=2)])
    u = torch.from_numpy(some(9, seed=1))
    before = part.generator.get_state()
    found = part(u, u[:, :0], torch.ones(9), False)
    assert torch.equal(part.generator.get_state(), before)
    z = PoincareBall(1.0).expmap0(u)
    best = part.codebooks.logits(0, z).argmax(dim=1)
    assert torch.equal(found.codes[0], best)
    drawn = part(u, u[:, :0], torch.ones(9), True)
    assert not torch.equal(drawn.tangents, found.tangents)


@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_the_decoder_gets_the_fold_of_the_representatives(n_levels):
    c = 0.6
    tangents = [some(5, seed=level) for level in range(n_levels)]
    part, ball = hyperplanes(tangents, c=c), PoincareBall(c)
    u = torch.from_numpy(some(9, seed=7))
    found = part(u, u[:, :0], torch.ones(9), False)
    rest = ball.expmap0(u.numpy())
    chosen = []
    for level, (own, codes) in enumerate(zip(tangents, found.codes, strict=True)):
        assert_allclose(found.residuals[level].numpy(), rest, atol=1e-12)
        normals = own / np.linalg.norm(own, axis=1, keepdims=True)
        gains = part.codebooks.gains()[level]
        logits = ganea(c, rest, ball.expmap0(own), normals, gains)
        assert_array_equal(codes, logits.argmax(axis=1))
        chosen.append(ball.expmap0(own)[codes])
        rest = ball.add(-chosen[-1], rest)
    total = chosen[-1]
    for points in chosen[-2::-1]:
        total = ball.add(points, total)
    expected = ball.logmap0(total)
    assert_allclose(found.tangents.detach().numpy(), expected, atol=1e-12)


def autoencoder(gradient, temperature=1.0):
    with seeded(0, CPU):
        model = Autoencoder(
            mlp([6, 7, 3]),
            mlp([3, 7, 6]),
            Hyperplanes(
                PoincareBall(0.8),
                gradient=gradient,
                temperatures=(temperature, temperature),
                entropy_weight=0.4,
            ),
            latent_dim=3,
            point_dtype=torch.float64,
            dtype=torch.float64,
        )
    model.set_codebooks([some(4, 3)])
    return model


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_exact_is_the_mean_over_codes_by_their_probabilities(temperature):
    model = autoencoder("exact", temperature)
    x, weight = batch()
    found, passed = model.losses(x, weight)
    z = PoincareBall(0.8).expmap0(model.embed(x).detach().numpy())
    tangents, gains = model.codebooks.tangents()[0], model.codebooks.gains()[0]
    normals = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    logits = ganea(0.8, z, PoincareBall(0.8).expmap0(tangents), normals, gains)
    sharp = np.exp(logits / temperature)
    proba = sharp / sharp.sum(axis=1, keepdims=True)
    decoded = model.decode(torch.from_numpy(tangents)).detach().numpy()
    total = error = 0.0
    for i, row in enumerate(x.numpy()):
        errors = [np.mean((row - x_hat) ** 2) for x_hat in decoded]
        total += float(weight[i]) * (proba[i] @ errors) / len(x)
        error += float(weight[i]) * errors[logits[i].argmax()] / len(x)
    mean = np.average(proba, axis=0, weights=weight.numpy())
    uneven = 1 + np.sum(mean * np.log(mean)) / np.log(4)
    total += 0.4 * uneven * float(weight.mean())
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-9)
    assert float(found.error) == pytest.approx(error, rel=1e-9)
    assert_array_equal(passed.codes[0], logits.argmax(axis=1))


def test_draws_have_the_exact_loss_in_the_mean():
    x, weight = batch()
    exact = float(autoencoder("exact").losses(x, weight)[0].total.detach())
    model = autoencoder("gumbel")
    model.bottleneck.generator = torch.Generator().manual_seed(0)
    totals = [float(model.losses(x, weight)[0].total.detach()) for _ in range(400)]
    slack = 4 * np.std(totals) / 20
    assert np.mean(totals) == pytest.approx(exact, abs=slack)


@pytest.mark.parametrize("gradient", ["exact", *DRAWN])
def test_everything_learns(gradient):
    model = autoencoder(gradient)
    model.bottleneck.generator = torch.Generator().manual_seed(0)
    model.losses(*batch())[0].total.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    (books,) = model.codebooks.split([], 1e-3)
    assert len(books.param_groups[0]["params"]) == 2


# temperatures


@pytest.mark.parametrize(
    "temperature",
    [0, 0.0, -1.0, (1.0, 0.0), (1.0, -0.5), (1.0,), (1.0, 0.7, 0.5), (), "hot"],
)
def test_temperatures_that_are_none(temperature, X):
    model = HyperVQTokenizer(codebook_size=6, **SMALL, temperature=temperature)
    for fit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="temperature"):
            fit(X)


def test_temperatures_of_no_number(X):
    for temperature in ((1.0, None), (1.0, np.nan), (np.inf, 1.0), np.nan):
        model = HyperVQTokenizer(codebook_size=6, **SMALL, temperature=temperature)
        with pytest.raises(ValueError, match="temperature"):
            model.fit(X)


def test_temperatures_fall_exponentially():
    part = hyperplanes([some(5)], temperatures=(2.0, 0.5))
    found = []
    for share in (0.0, 0.5, 1.0):
        part.anneal(share)
        found.append(part.temperature)
    assert_allclose(found, [2.0, 1.0, 0.5])


@pytest.mark.parametrize("temperature", [0.8, (2.0, 0.5)])
def test_the_schedule_spans_the_epochs(temperature, X, monkeypatch):
    seen = []
    anneal = Hyperplanes.anneal

    def recorded(self, share):
        anneal(self, share)
        seen.append(self.temperature)

    monkeypatch.setattr(Hyperplanes, "anneal", recorded)
    model = HyperVQTokenizer(
        codebook_size=6, **SMALL, temperature=temperature, n_iter_no_change=99
    ).fit(X)
    start, end = np.broadcast_to(temperature, 2)
    assert len(seen) == model.n_iter_ == 9
    assert_allclose(seen, np.geomspace(start, end, 9))


# the estimator


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_levels": 2, "gradient": "exact"}, "gradient='exact'.*n_levels=2"),
        ({"gradient": "straight-through"}, "'gradient' parameter"),
        ({"entropy_weight": -1}, "'entropy_weight' parameter"),
        ({"curvature": 0}, "'curvature' parameter"),
        ({"codebook_size": [6, 6]}, "2 entries for n_levels=1"),
        ({"encoder": "hyperbolic"}, "'encoder' parameter"),
    ],
)
def test_parameters_out_of_range(parameters, message, X):
    model = HyperVQTokenizer(codebook_size=6, **SMALL).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("gradient", ["auto", "exact", *DRAWN])
def test_it_learns(gradient, X):
    n_levels = 1 if gradient == "exact" else 2
    model = HyperVQTokenizer(
        n_levels,
        8,
        **{**SMALL, "max_iter": 50, "learning_rate": 1e-2},
        gradient=gradient,
    ).fit(X)
    assert -model.score(X) < 0.5 * X.var(axis=0).mean()
    assert (model.codebook_usage_ > 0.5).all()
    assert min(model.error_curve_) < 0.6 * model.error_curve_[0]


def test_a_warm_start_goes_on_although_draws_err_more(X):
    """Drawn codes have a larger error than those of use, which must not end it."""
    parameters = {**SMALL, "learning_rate": 1e-2, "max_iter": 30, "latent_dim": 8}
    model = HyperVQTokenizer(
        1,
        16,
        **parameters,
        gradient="reinmax",
        temperature=4.0,
        n_iter_no_change=5,
        warm_start=True,
    )
    scores = [model.fit(X).score(X) for _ in range(3)]
    assert scores[2] > 0.7 * scores[0]
    assert model.n_iter_ > 5


@drawn
@levels
def test_codes_as_in_use_decide_which_weights_are_best(n_levels, gradient, X):
    """Training rows for validation are no other criterion; draws would be."""
    given = {**SMALL, "learning_rate": 0.1, "max_iter": 30, "n_iter_no_change": 5}
    model = HyperVQTokenizer(n_levels, 16, **given, gradient=gradient)
    decided = clone(model).fit(X, X_val=X)
    model.fit(X)
    assert model.n_iter_ == decided.n_iter_
    assert_allclose(model.error_curve_, np.negative(decided.validation_scores_))
    for name, value in decided.weights_.items():
        assert_array_equal(model.weights_[name], value)
    variance = X.var(axis=0).mean()
    assert min(model.error_curve_) == pytest.approx(-model.score(X) / variance)


def test_no_more_rows_decide_than_needed(X, monkeypatch):
    monkeypatch.setattr("skhyper._nn._train.DECIDING_ROWS", 60)
    model = HyperVQTokenizer(1, 8, **SMALL, gradient="gumbel").fit(X)
    rows, _ = distinct_rows(X, np.ones(len(X)))
    error = -model.score(X[rows[:60]]) / model.scale_**2
    assert min(model.error_curve_) == pytest.approx(error)


@drawn
def test_chunks_tell_the_error_of_codes_as_in_use(gradient, X):
    model = HyperVQTokenizer(1, 4, **SMALL, gradient=gradient)
    for _ in range(3):
        model.partial_fit(X)
    error = -model.score(X) / model.scale_**2
    assert model.error_curve_[-1] == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("gradient", ["exact", *DRAWN])
def test_fitted_weights_are_among_those_to_keep(gradient, X):
    model = HyperVQTokenizer(1, 16, **SMALL, gradient=gradient, warm_start=True)
    score = model.fit(X).score(X)
    model.set_params(learning_rate=10.0, max_iter=1).fit(X)
    assert model.score(X) == pytest.approx(score)


def test_a_codebook_grows_with_its_gains(X):
    model = HyperVQTokenizer(1, 6, **SMALL, warm_start=True).fit(X)
    gains = model.gains_[0]
    model.set_params(codebook_size=9, learning_rate=1e-12, max_iter=1).fit(X)
    assert_allclose(model.gains_[0][:6], gains, rtol=1e-6)
    assert model.gains_[0].shape == (9,)
    with pytest.raises(ValueError, match=r"codebook_size=\[4\] is not \[9\]"):
        model.set_params(codebook_size=4).fit(X)


@levels
def test_chunks_go_on_bit_for_bit(n_levels, X):
    model = HyperVQTokenizer(n_levels, 6, **SMALL, temperature=(1.0, 0.5))
    model.partial_fit(X[:120])
    twin = pickle.loads(pickle.dumps(model))
    state = model._online["state"]
    assert any("log_gains" in key for key in state)
    for part in (model, twin):
        part.partial_fit(X[120:]).partial_fit(X)
    assert model.loss_curve_ == twin.loss_curve_
    for one, other in zip(model.gains_, twin.gains_, strict=True):
        assert_array_equal(one, other)
    assert model.n_iter_ == 3


def test_a_weight_of_zero_is_no_row(X):
    weight = np.r_[np.ones(200), np.zeros(40)]
    one = HyperVQTokenizer(2, 6, **SMALL).fit(X[:200])
    other = HyperVQTokenizer(2, 6, **SMALL).fit(X, sample_weight=weight)
    assert one.loss_curve_ == other.loss_curve_
    assert_array_equal(one.gains_[1], other.gains_[1])


def test_constant_rows_and_repeated_ones(X):
    with pytest.warns(ConvergenceWarning):
        model = HyperVQTokenizer(1, 4, **SMALL).fit(np.full((20, 3), 7.5))
    assert np.isfinite(model.loss_curve_).all()
    assert not model.transform(np.full((2, 3), 7.5)).any()
    rows = np.repeat(X[:20], 3, axis=0)
    codes = HyperVQTokenizer(1, 6, **SMALL).fit(rows).transform(rows)
    assert_array_equal(codes, np.repeat(codes[::3], 3, axis=0))


@levels
def test_files(n_levels, X, tmp_path, monkeypatch):
    model = HyperVQTokenizer(n_levels, 6, **SMALL).fit(X)
    io.save(model, tmp_path / "file")
    twin = io.load(tmp_path / "file")
    assert_array_equal(twin.transform(X), model.transform(X))
    assert_array_equal(twin.gains_[-1], model.gains_[-1])
    gains = model.gains_
    for broken in ([g[:5] for g in gains], [g[:, None] for g in gains], gains[:-1]):
        model.gains_ = broken
        with monkeypatch.context() as patch:
            patch.setattr(io, "check_consistent", lambda _: None)
            io.save(model, tmp_path / "broken")
        with pytest.raises(ValueError, match="cannot be loaded"):
            io.load(tmp_path / "broken")


def test_codes_are_distinct_when_the_grid_of_all_is_decoded(X):
    """No code stands for the origin alone, and each decodes in its own way."""
    model = HyperVQTokenizer(2, [5, 3], **SMALL).fit(X)
    grid = np.array(list(itertools.product(range(5), range(3))))
    decoded = model.inverse_transform(grid)
    gaps = ((decoded[:, None] - decoded) ** 2).sum(-1) + np.eye(15)
    assert gaps.min() > 1e-12


def test_it_does_better_than_its_start(X):
    """Not only the autoencoder learns: codes do, too."""
    frozen = torch.nn.Linear(8, 4), torch.nn.Linear(4, 8)
    for layer in frozen:
        layer.requires_grad_(False)
    short = HyperVQTokenizer(
        codebook_size=8,
        **{**SMALL, "max_iter": 1, "learning_rate": 1e-12},
        encoder=frozen[0],
        decoder=frozen[1],
    )
    trained = clone(short).set_params(max_iter=60, learning_rate=1e-2).fit(X)
    assert trained.error_curve_[-1] < trained.error_curve_[0]
    assert trained.score(X) > short.fit(X).score(X)
