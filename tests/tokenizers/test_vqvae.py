"""VQ-VAE: one codebook, and how the decoder's gradient passes it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skhyper._nn._through import THROUGH
from skhyper.datasets import make_tree
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.metrics import relative_distortion
from skhyper.tokenizers import HyperVQTokenizer, RQVAETokenizer, VQVAETokenizer

from .models import LATENT_DIM, batch, build, losses

SMALL = {
    "latent_dim": 4,
    "hidden_layer_sizes": (16,),
    "max_iter": 12,
    "batch_size": 64,
    "random_state": 0,
}
through = pytest.mark.parametrize("gradient", ["straight-through", "rotation"])
updates = pytest.mark.parametrize("update", ["gradient", "ema"])


@pytest.fixture(scope="module")
def X():
    return make_tree(200, 8, branching=4, depth=2, random_state=0)[0]


def flat(rows):
    return torch.from_numpy(np.array(rows, dtype=np.float64))


def passed(rule, u, q, g, manifold=None):
    """What the decoder gets for latents and codes, and what comes back of `g`."""
    manifold = Euclidean() if manifold is None else manifold
    u = flat(u).requires_grad_()
    z = manifold.expmap0(u)
    out = THROUGH[rule](manifold, u, z, manifold.expmap0(flat(q)))
    (back,) = torch.autograd.grad(out, u, flat(g))
    return out.detach().numpy(), back.numpy()


def rotation(e, q):
    """Eq. 4 of Fifty et al., as a matrix: what turns `e` onto the direction of `q`."""
    e, q = e / np.linalg.norm(e), q / np.linalg.norm(q)
    w = (e + q) / np.linalg.norm(e + q)
    return np.eye(len(e)) - 2 * np.outer(w, w) + 2 * np.outer(q, e)


seeds = st.integers(0, 2**32 - 1)
dims = st.integers(1, 8)
lengths = st.floats(1e-3, 1e3)


class TestRotation:
    @given(seed=seeds, dim=dims, of_e=lengths, of_q=lengths)
    def test_forward_is_the_code_and_backward_the_matrix(self, seed, dim, of_e, of_q):
        rng = np.random.default_rng(seed)
        e, q, g = rng.normal(size=(3, dim))
        e, q = of_e * e / np.linalg.norm(e), of_q * q / np.linalg.norm(q)
        out, back = passed("rotation", [e], [q], [g])
        assert_allclose(out, [q], rtol=1e-12, atol=1e-14 * of_e)  # e + (q - e)
        if e @ q < -0.999 * of_e * of_q:  # the other way round, see below
            return
        R = rotation(e, q)
        assert_allclose(R @ e / of_e, q / of_q, atol=1e-9)
        assert_allclose(R.T @ R, np.eye(dim), atol=1e-9)
        expected = of_q / of_e * R.T @ g
        assert_allclose(back[0], expected, rtol=1e-9, atol=1e-9 * of_q / of_e)

    @given(seed=seeds, dim=st.integers(2, 8))
    def test_angles_to_the_gradient_are_kept(self, seed, dim):
        rng = np.random.default_rng(seed)
        e, q, g = rng.normal(size=(3, dim))
        _, back = passed("rotation", [e], [q], [g])
        if np.dot(e, q) < -0.999 * np.linalg.norm(e) * np.linalg.norm(q):
            return

        def cosine(a, b):
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        assert cosine(back[0], e) == pytest.approx(cosine(g, q), abs=1e-9)
        ratio = np.linalg.norm(back) / np.linalg.norm(g)
        assert ratio == pytest.approx(np.linalg.norm(q) / np.linalg.norm(e))

    @pytest.mark.parametrize(
        ("e", "q"),
        [
            ([0.0, 0.0], [1.0, 2.0]),
            ([1.0, 2.0], [0.0, 0.0]),
            ([0.0, 0.0], [0.0, 0.0]),
            ([3.0, -1.0], [-3.0, 1.0]),
            ([3.0, -1.0], [-6.0, 2.0 + 1e-9]),
            ([1e-300, 0.0], [0.0, 1.0]),
            ([1e-13, 0.0], [0.0, 1e-13]),
        ],
    )
    def test_no_rotation_is_straight_through(self, e, q):
        out, back = passed("rotation", [e], [q], [[0.7, -2.0]])
        assert_allclose(out, [q], atol=1e-15)
        assert_array_equal(back, [[0.7, -2.0]])

    def test_a_row_without_rotation_leaves_the_others_alone(self):
        e = np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 1.0]])
        q = np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, -1.0]])
        g = np.ones((3, 2))
        _, back = passed("rotation", e, q, g)
        assert_allclose(back[1], rotation(e[1], q[1]).T @ g[1])
        assert_array_equal(back[[0, 2]], g[[0, 2]])

    def test_a_latent_on_its_code_gets_the_plain_gradient(self):
        e, g = [[0.3, -2.0, 1.0]], [[1.0, 2.0, 3.0]]
        _, back = passed("rotation", e, e, g)
        assert_allclose(back, g, rtol=1e-12)

    @pytest.mark.parametrize("c", [0.3, 2.7])
    def test_on_the_ball_tangents_are_turned(self, c):
        e, q, g = np.random.default_rng(0).normal(size=(3, LATENT_DIM)) / 2
        out, back = passed("rotation", [e], [q], [g], PoincareBall(c))
        assert_allclose(out, [q], rtol=1e-12)
        stretch = np.linalg.norm(q) / np.linalg.norm(e)
        assert_allclose(back[0], stretch * rotation(e, q).T @ g, rtol=1e-9)

    def test_it_changes_gradients_and_not_the_loss(self):
        total, slope = {}, {}
        for rule in ("straight-through", "rotation"):
            model = build(Euclidean(), sizes=(5,), gradient=rule)
            found, _ = losses(model, *batch())
            found.total.backward()
            total[rule] = float(found.total.detach())
            slope[rule] = model.encoder[0].weight.grad.numpy()
        assert total["rotation"] == pytest.approx(total["straight-through"], rel=1e-12)
        assert np.abs(slope["rotation"] - slope["straight-through"]).max() > 1e-3


@updates
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_a_residual_tokenizer_with_one_level(update, dtype, X):
    X = X.astype(dtype)
    one = VQVAETokenizer(8, **SMALL, codebook_update=update).fit(X)
    residual = RQVAETokenizer(1, 8, **SMALL, codebook_update=update).fit(X)
    assert_array_equal(one.transform(X), residual.transform(X))
    assert one.loss_curve_ == residual.loss_curve_
    assert_array_equal(one.codebooks_[0], residual.codebooks_[0])
    for name, value in residual.weights_.items():
        assert_array_equal(one.weights_[name], value)
    codes = one.transform(X)
    assert_array_equal(one.inverse_transform(codes), residual.inverse_transform(codes))
    for chunk in (X[:90], X[90:]):
        one.partial_fit(chunk)
        residual.partial_fit(chunk)
    assert_array_equal(one.codebooks_[0], residual.codebooks_[0])


@through
@updates
def test_codes_are_the_nearest_and_the_error_falls(gradient, update, X):
    model = VQVAETokenizer(
        16,
        **{**SMALL, "max_iter": 60, "learning_rate": 5e-3},
        gradient=gradient,
        codebook_update=update,
    ).fit(X)
    codes, latents = model.transform(X), model.embed(X)
    slow = [
        np.argmin([np.sum((z - q) ** 2) for q in model.codebooks_[0]]) for z in latents
    ]
    assert_array_equal(codes[:, 0], slow)
    assert_array_equal(model.labels_, slow)
    assert model.codes_shape_ == (1,)
    assert_array_equal(model.quantize(X), model.codebooks_[0][slow])
    assert relative_distortion(X, model.inverse_transform(codes)) < 0.2
    assert model.error_curve_[-1] < 0.5 * model.error_curve_[0]
    assert model.codebook_usage_[0] > 0.5


def test_the_two_gradients_train_two_networks(X):
    names = ("straight-through", "rotation")
    one, other = (VQVAETokenizer(8, **SMALL, gradient=name).fit(X) for name in names)
    name = "encoder.0.weight"
    assert np.abs(one.weights_[name] - other.weights_[name]).max() > 1e-4


@through
def test_latents_that_do_not_move(gradient):
    """All at the origin, which has no direction."""
    X = np.ones((20, 3))
    with pytest.warns(ConvergenceWarning):
        model = VQVAETokenizer(2, **SMALL, gradient=gradient).fit(X)
    assert np.isfinite(model.loss_curve_).all()
    assert all(np.isfinite(value).all() for value in model.weights_.values())
    assert_allclose(model.inverse_transform(model.transform(X)), X, atol=0.5)


ONE_LEVEL = [RQVAETokenizer(1), VQVAETokenizer(), HyperVQTokenizer()]


@pytest.mark.parametrize("model", ONE_LEVEL, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize(
    ("rows", "weight"),
    [(5 * [0, 1, 2, 3], None), (range(20), np.arange(20) < 4)],
    ids=["repeated", "weightless"],
)
def test_too_few_distinct_samples_are_a_warning_as_with_more_levels(
    model, rows, weight, X
):
    model = clone(model).set_params(codebook_size=9, **SMALL)
    match = r"codebook_size=9.*have \[4\] codes. Lower"
    with pytest.warns(ConvergenceWarning, match=match):
        model.fit(X[list(rows)], sample_weight=weight)
    assert len(model.codebooks_[0]) == 4
    assert len(np.unique(model.transform(X[:4]))) > 1
    with pytest.raises(ValueError, match=r"codebook_size=9 .*n_samples = 4\. L"):
        model.fit(X[:4])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("gradient", "tangent"),
        ("gradient", None),
        ("codebook_update", "riemannian"),
        ("codebook_size", [8]),
        ("codebook_size", 0),
        ("commitment_weight", -1),
        ("n_channels", 0),
        ("encoder", "hyperbolic"),
    ],
)
def test_parameters_out_of_range(parameter, value, X):
    model = clone(VQVAETokenizer(8, **SMALL)).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        model.fit(X)


def test_there_are_no_levels_to_set(X):
    assert "n_levels" not in VQVAETokenizer().get_params()
    model = VQVAETokenizer(8, **SMALL).fit(X)
    with pytest.raises(ValueError, match="expected 1 to 1"):
        model.inverse_transform(np.zeros((3, 2), dtype=int))
    with pytest.raises(ValueError, match="depth=2"):
        model.predict(X, depth=2)
