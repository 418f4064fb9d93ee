"""One step of the network against slow NumPy arithmetic."""

import numpy as np
import pytest
import torch

from skhyper._nn._runtime import apply_in_blocks, to_tensor
from skhyper._nn._train import Settings, Trainer
from skhyper.manifolds import Euclidean, PoincareBall

from .models import LATENT_DIM, N_FEATURES, batch, build, losses

MANIFOLDS = [Euclidean(), PoincareBall(0.3), PoincareBall(1.0), PoincareBall(2.7)]
RESIDUALS = ["exact", "paper", "tangent"]


def half_square(manifold, x, y):
    if manifold.c == 0:
        return np.sum((x - y) ** 2, axis=-1)
    return (manifold.dist(x, y) / 2) ** 2


@pytest.mark.parametrize("residual", RESIDUALS)
@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
def test_losses_equal_a_slow_twin(manifold, residual):
    model = build(manifold, residual)
    x, weight = batch()
    found, quantized = losses(model, x, weight, commitment_weight=0.25)

    z = manifold.expmap0(model.embed(x).detach().numpy())
    books = [manifold.expmap0(tangent) for tangent in model.codebooks.tangents()]
    total = reconstruction = 0.0
    for i, point in enumerate(z):
        rest, codes, codebook, commitment = point, [], [], []
        for level, book in enumerate(books):
            distances = [half_square(manifold, rest, q) for q in book]
            token = int(np.argmin(distances))
            assert token == int(quantized.codes[level][i])
            codes.append(book[token])
            codebook.append(distances[token])
            prefix = fold(manifold, codes, residual)
            commitment.append(half_square(manifold, point, prefix))
            rest = subtract(manifold, rest, book[token], residual)
        if residual == "exact":
            np.testing.assert_allclose(commitment, codebook, rtol=1e-9)
        u_hat = torch.from_numpy(manifold.logmap0(prefix))
        x_hat = model.decode(u_hat).detach().numpy()
        error = np.mean((x[i].numpy() - x_hat) ** 2)
        w = float(weight[i]) / len(x)
        reconstruction += w * error
        total += w * (error + np.mean(codebook) + 0.25 * np.mean(commitment))
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-9)
    assert float(found.error) == pytest.approx(reconstruction, rel=1e-9)


def subtract(manifold, r, q, residual):
    if residual == "exact":
        return manifold.add(-q, r)
    if residual == "paper":
        return manifold.add(r, -q)
    return manifold.expmap0(manifold.logmap0(r) - manifold.logmap0(q))


def fold(manifold, codes, residual):
    if residual == "tangent":
        return manifold.expmap0(sum(manifold.logmap0(q) for q in codes))
    if residual == "paper":
        total = codes[0]
        for q in codes[1:]:
            total = manifold.add(total, q)
        return total
    total = codes[-1]
    for q in reversed(codes[:-1]):
        total = manifold.add(q, total)
    return total


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
def test_gradients_are_those_of_the_definition(manifold):
    """Encoder: the decoder's gradient, copied in tangent coordinates, and commitment.

    Finite differences cannot see a straight-through gradient, so the expected one is
    put together from parts that are differentiable: the decoder at the code, and the
    distance to a fixed reconstruction.
    """
    model = build(manifold)
    x, weight = batch()
    latent = model.embed(x).detach().requires_grad_()
    model.latents = lambda _: (latent, latent[:, :0])
    found, quantized = losses(model, x, weight, commitment_weight=0.25)
    (gradient,) = torch.autograd.grad(found.total, latent)

    u_hat = manifold.logmap0(quantized.prefixes[-1]).detach().requires_grad_()
    error = torch.mean(weight * torch.mean((x - model.decode(u_hat)) ** 2, dim=-1))
    (through,) = torch.autograd.grad(error, u_hat)
    twin = latent.detach().clone().requires_grad_()
    pull = sum(
        torch.mean(weight * manifold.sq_half_dist(manifold.expmap0(twin), prefix))
        for prefix in quantized.prefixes
    ) * (0.25 / len(quantized.prefixes))
    (commitment,) = torch.autograd.grad(pull, twin)
    torch.testing.assert_close(gradient, through + commitment, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
def test_codes_are_pulled_by_their_own_residuals_only(manifold):
    model = build(manifold)
    x, weight = batch()
    found, quantized = losses(model, x, weight, commitment_weight=0.25)
    found.total.backward()
    for level, codebook in enumerate(model.codebooks.levels):
        used = torch.bincount(quantized.codes[level], minlength=len(codebook)) > 0
        moved = codebook.grad.abs().sum(dim=1) > 0
        assert torch.equal(moved, used)


@pytest.mark.parametrize("manifold", MANIFOLDS[:2], ids=repr)
def test_unused_codes_come_back_to_life(manifold):
    model = build(manifold, sizes=(6, 6))
    with torch.no_grad():
        for codebook in model.codebooks.levels:
            codebook[3:] = 1.5  # far from every latent
    x, weight = batch(60)
    settings = Settings(16, 1e-3, 100, 0.0, seed=0)
    Trainer(model, (x, weight), settings).run(15)
    z = manifold.expmap0(model.embed(x))
    codes = model.bottleneck.quantize(z, weight, False).codes
    assert all(len(torch.unique(column)) >= 5 for column in codes)


def test_centred_latents_leave_the_autoencoder_as_it_was():
    model = build(Euclidean())
    x, weight = batch(50)
    before = model.decoder(model.encoder(x))
    model.centre_latents(x, weight)
    v = model.embed(x)
    share = (weight / weight.sum())[:, None]
    assert float(torch.sum(share * v, dim=0).detach().abs().max()) < 1e-12
    assert float(torch.sum(share * v**2).detach()) == pytest.approx(1)
    torch.testing.assert_close(model.decode(v), before)
    torch.testing.assert_close(model.decoder(model.encoder(x)), before)


def test_latents_that_are_all_the_same_are_centred_without_a_scale():
    model = build(Euclidean())
    x = torch.ones(5, N_FEATURES, dtype=torch.float64)
    model.centre_latents(x, torch.ones(5))
    assert float(model.scale) == 1
    assert torch.isfinite(model.embed(x)).all()


def test_bound_is_smooth_and_harmless_near_the_origin():
    model = build(PoincareBall(1.0))
    model.encoder = torch.nn.Identity()
    v = torch.zeros(1, LATENT_DIM, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.embed, (v,))
    (at_zero,) = torch.autograd.grad(model.embed(v)[0, 0], v)
    assert at_zero.tolist() == [[1, 0, 0]]
    far = torch.full((1, LATENT_DIM), 4.0, dtype=torch.float64, requires_grad=True)
    bounded = model.embed(far)
    assert float(bounded.norm().detach()) < model.reach
    assert float(torch.autograd.grad(bounded.sum(), far)[0].abs().min()) > 0


def test_blocks_do_not_change_what_a_row_gives():
    model = build(Euclidean())
    x = batch(700)[0].numpy()
    whole = apply_in_blocks(model.embed, x, torch.float64, torch.device("cpu"))
    for rows in (slice(0, 1), slice(3, 300), slice(699, None, -1)):
        part = apply_in_blocks(
            model.embed, x[rows].copy(), torch.float64, torch.device("cpu")
        )
        np.testing.assert_array_equal(part, whole[rows])


def test_read_only_and_reversed_arrays_become_tensors_without_a_warning():
    x = np.arange(6.0).reshape(2, 3)
    x.flags.writeable = False
    for array in (x, x[::-1], x[:, ::2], np.asfortranarray(x)):
        tensor = to_tensor(array, torch.float64, torch.device("cpu"))
        np.testing.assert_array_equal(tensor.numpy(), array)
