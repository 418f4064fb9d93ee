"""The parts that a tokenizer is made of, each against its definition."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from skhyper._nn._codebooks import EMA_DECAY, import_geoopt
from skhyper._nn._layers import MobiusLinear, MobiusMLP
from skhyper._nn._search import balanced, beam, code_scores, greedy
from skhyper._nn._train import Settings, Trainer
from skhyper.manifolds import Euclidean, PoincareBall
from skhyper.manifolds._residual import RESIDUAL_RULES
from skhyper.quantizers._stack import ResidualStack

from .models import LATENT_DIM, batch, build, losses

geoopt = import_geoopt()

MANIFOLDS = [Euclidean(), PoincareBall(0.3), PoincareBall(1.0), PoincareBall(2.7)]
EXACT = RESIDUAL_RULES["exact"]
every_manifold = pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)


def ball_of(c):
    # from a float geoopt makes a float32 curvature
    return geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64))


def points_of(manifold, n, scale=0.4, seed=0):
    tangent = scale * np.random.RandomState(seed).randn(n, LATENT_DIM)
    return torch.from_numpy(np.asarray(manifold.expmap0(tangent)))


def books_of(manifold, sizes=(7, 6, 5)):
    return [
        points_of(manifold, size, 0.4 / 2**level, seed=level + 5)
        for level, size in enumerate(sizes)
    ]


class TestSearch:
    @every_manifold
    def test_scores_order_codes_by_distance(self, manifold):
        x, codes = points_of(manifold, 40), points_of(manifold, 9, seed=1)
        scores = code_scores(manifold, x, codes)
        distances = manifold.pairwise_dist(x.numpy(), codes.numpy())
        np.testing.assert_array_equal(scores.argsort(1), distances.argsort(1))
        expected = ((x[:, None] - codes) ** 2).sum(-1) / manifold.gap(codes)[:, 0]
        torch.testing.assert_close(scores, expected)

    @every_manifold
    def test_greedy_is_the_exact_encoder(self, manifold):
        z, books = points_of(manifold, 60), books_of(manifold)
        stack = ResidualStack(manifold, [book.numpy() for book in books])
        codes = greedy(manifold, EXACT, z, books, torch.ones(60))
        np.testing.assert_array_equal(torch.stack(codes, 1), stack.encode(z.numpy()))

    @every_manifold
    @pytest.mark.parametrize("rule", ["exact", "tangent", "paper"])
    def test_beam_is_never_worse_and_a_full_one_is_the_best(self, manifold, rule):
        rules = RESIDUAL_RULES[rule]
        z, books = points_of(manifold, 50), books_of(manifold, (4, 3, 3))

        def error(codes):
            chosen = [b[c] for b, c in zip(books, codes, strict=True)]
            return manifold.sq_chord(rules.fold(manifold, chosen), z)

        ones = torch.ones(50)
        first = error(greedy(manifold, rules, z, books, ones))
        for width in (2, 3):
            found = error(beam(manifold, rules, z, books, ones, width))
            assert (found <= first).all()
        grid = torch.cartesian_prod(*(torch.arange(len(b)) for b in books))
        every = torch.stack([error(code.expand(50, 3).T) for code in grid])
        widest = error(beam(manifold, rules, z, books, ones, 36))
        torch.testing.assert_close(widest, every.min(dim=0).values)

    def test_a_wide_beam_gains_something(self):
        manifold = PoincareBall(1.0)
        z, books = points_of(manifold, 200), books_of(manifold)
        stack = ResidualStack(manifold, [book.numpy() for book in books])
        ours = torch.stack(beam(manifold, EXACT, z, books, torch.ones(200), 5), 1)
        chord = manifold.sq_chord
        first = chord(stack.decode(stack.encode(z.numpy())), z.numpy())
        assert chord(stack.decode(ours.numpy()), z.numpy()).mean() < first.mean()


class TestBalanced:
    @pytest.mark.parametrize("n", [32, 30, 3, 1])
    def test_codes_are_taken_equally_often(self, n):
        rng = np.random.RandomState(0)
        x, codes = rng.randn(n, 2) ** 3, rng.randn(4, 2)
        cost = torch.from_numpy(((x[:, None] - codes) ** 2).sum(-1))
        count = torch.bincount(balanced(cost, torch.ones(n)), minlength=4)
        assert count.sum() == n
        assert (count - n / 4).abs().max() <= max(2, 0.15 * n)
        nearest = torch.bincount(cost.argmin(1), minlength=4)
        assert count.max() <= nearest.max()

    def test_it_tends_to_the_optimal_assignment(self, monkeypatch):
        monkeypatch.setattr("skhyper._nn._search.SINKHORN_EPSILON", 1e-3)
        monkeypatch.setattr("skhyper._nn._search.SINKHORN_ROUNDS", 5000)
        cost = np.random.RandomState(1).uniform(size=(8, 8))
        found = balanced(torch.from_numpy(cost), torch.ones(8))
        rows, columns = linear_sum_assignment(cost)
        assert cost[rows, found].sum() == pytest.approx(cost[rows, columns].sum())

    def test_weights_count_as_repeats(self):
        rng = np.random.RandomState(2)
        cost = torch.from_numpy(rng.uniform(size=(12, 3)))
        repeats = torch.from_numpy(rng.randint(1, 4, size=12))
        once = balanced(cost, repeats.double())
        often = balanced(
            cost.repeat_interleave(repeats, dim=0), torch.ones(repeats.sum())
        )
        assert torch.equal(once.repeat_interleave(repeats), often)

    def test_equal_costs_and_huge_ones_are_finite(self):
        for cost in (torch.zeros(5, 3), 1e300 * torch.rand(5, 3, dtype=torch.float64)):
            assert balanced(cost, torch.ones(5)).max() < 3

    def test_it_fills_codes_that_nearest_leaves_empty(self):
        manifold = PoincareBall(1.0)
        used = {}
        for assignment in ("nearest", "balanced"):
            model = build(manifold, sizes=(8, 8), assignment=assignment)
            with torch.no_grad():
                for level in model.codebooks.levels:
                    level[2:] *= 4  # most codes are far from the latents
            _, weight = batch(200)
            z = points_of(manifold, 200, 0.1)
            codes = model.bottleneck.quantize(z, weight, True).codes
            used[assignment] = min(len(torch.unique(column)) for column in codes)
        assert used["balanced"] >= 6 > 3 >= used["nearest"]


class TestGradients:
    @pytest.mark.parametrize("c", [0.3, 1.0, 2.7])
    @pytest.mark.parametrize("kind", ["identity", "transport"])
    def test_what_reaches_the_latent(self, kind, c):
        """Against geoopt's gyration, and the Jacobians of expmap0 and logmap0."""
        manifold = PoincareBall(c)
        model = build(manifold, gradient=kind)
        x, weight = batch()
        latent = model.embed(x).detach().requires_grad_()
        model.latents = lambda _: (latent, latent[:, :0])
        found, quantized = losses(model, x, weight, commitment_weight=0.0)
        (gradient,) = torch.autograd.grad(found.total, latent)

        z_hat = quantized.prefixes[-1].detach().requires_grad_()
        x_hat = model.decode(manifold.logmap0(z_hat))
        error = torch.mean(weight * torch.mean((x - x_hat) ** 2, dim=-1))
        (g,) = torch.autograd.grad(error, z_hat)
        twin = latent.detach().clone().requires_grad_()
        z = manifold.expmap0(twin)
        if kind == "transport":
            with torch.no_grad():
                conformal = [2 / manifold.gap(p) for p in (z_hat, z)]
                moved = geoopt.manifolds.stereographic.math.gyration(
                    z, -z_hat, g, k=torch.tensor(-c, dtype=torch.float64)
                )
                g = 4 * moved / (conformal[0] * conformal[1])
        (expected,) = torch.autograd.grad(z, twin, g)
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)

    def test_all_rules_agree_where_space_is_flat(self):
        gradients = []
        for kind in ("tangent", "identity", "transport"):
            model = build(PoincareBall(1e-9), gradient=kind)
            found, _ = losses(model, *batch())
            found.total.backward()
            gradients.append(model.encoder[0].weight.grad)
        for other in gradients[1:]:
            torch.testing.assert_close(other, gradients[0], rtol=1e-6, atol=1e-12)


class TestCodebooks:
    @every_manifold
    def test_ema_is_a_fading_centroid(self, manifold):
        """Against sums kept in a Python loop, and `midpoint` for the centroid."""
        model = build(manifold, codebook_update="ema", sizes=(4,))
        before = model.codebooks.points()[0].numpy().copy()
        z, weight = (
            points_of(manifold, 30),
            torch.from_numpy(np.random.RandomState(3).uniform(0.5, 2, 30)),
        )
        codes = greedy(manifold, EXACT, z, model.codebooks.points(), weight)
        model.codebooks.after_step(codes, [z], weight)
        after = model.codebooks.points()[0].numpy()
        share = (weight * 4 / weight.sum()).numpy()
        for k in range(4):
            own = (codes[0] == k).numpy()
            points = np.vstack([before[k : k + 1], z[own].numpy()])
            weights = np.r_[EMA_DECAY, (1 - EMA_DECAY) * share[own]]
            expected = manifold.midpoint(points, weights)
            np.testing.assert_allclose(after[k], expected, rtol=1e-9, atol=1e-12)

    def test_no_gradient_reaches_ema_codes(self):
        model = build(PoincareBall(1.0), codebook_update="ema")
        found, _ = losses(model, *batch())
        found.total.backward()
        assert all(level.grad is None for level in model.codebooks.levels)
        assert all(not level.requires_grad for level in model.codebooks.levels)

    @pytest.mark.parametrize("c", [0.3, 1.0])
    def test_riemannian_codes_take_geoopts_step(self, c):
        model = build(PoincareBall(c), codebook_update="riemannian", sizes=(5,))
        x, weight = batch()
        point = geoopt.ManifoldParameter(
            model.codebooks.levels[0].detach().clone(), manifold=ball_of(c)
        )
        optimizer = geoopt.optim.RiemannianAdam([point], lr=1e-2)
        trainer = Trainer(model, (x, weight), Settings(20, 1e-2, 9, 0.0, 0))
        trainer.start()
        found, _ = losses(model, x, weight, 0.25)
        found.total.backward()
        point.grad = model.codebooks.levels[0].grad.clone()
        optimizer.step()
        trainer._optimizers[1].step()
        torch.testing.assert_close(model.codebooks.levels[0].data, point.data)
        assert torch.equal(model.codebooks.points()[0], model.codebooks.levels[0])

    @pytest.mark.parametrize("update", ["gradient", "riemannian", "ema"])
    def test_revived_codes_sit_on_the_points_given(self, update):
        manifold = PoincareBall(1.0)
        model = build(manifold, codebook_update=update, sizes=(5, 4))
        x, weight = batch()
        trainer = Trainer(model, (x, weight), Settings(10, 1e-2, 9, 0.0, 0))
        trainer.start()
        trainer._epoch(1)
        others = model.codebooks.points()[1].detach().clone()
        new = points_of(manifold, 2, seed=9)
        dead = torch.tensor([1, 3])
        model.codebooks.revive(1, dead, new, trainer._optimizers)
        found = model.codebooks.points()[1].detach()
        torch.testing.assert_close(found[dead], new)
        alive = torch.tensor([0, 2])
        assert torch.equal(found[alive], others[alive])
        for optimizer in trainer._optimizers:
            state = optimizer.state.get(model.codebooks.levels[1], {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    assert state[moment][dead].abs().max() == 0
                    assert state[moment][alive].abs().max() > 0
        # what they are made of forgets as well: a batch of nothing changes nothing
        if update == "ema":
            sums = model.codebooks.get_buffer("sums_1")[dead]
            centroid = manifold.centroid_from_sums(sums[:, :-1], sums[:, -1:])
            torch.testing.assert_close(centroid, new)

    @pytest.mark.parametrize("update", ["gradient", "riemannian", "ema"])
    def test_codes_are_kept_within_the_ball(self, update):
        manifold = PoincareBall(2.7)
        model = build(manifold, codebook_update=update, sizes=(5,))
        far = points_of(manifold, 5, scale=9.0)
        model.codebooks.revive(0, torch.arange(5), far, [])
        model.codebooks.after_step([torch.arange(5)], [far], torch.ones(5))
        radius = torch.linalg.vector_norm(model.codebooks.points()[0], dim=1)
        assert radius.max() <= 0.95 / 2.7**0.5 * (1 + 1e-9)


class TestMobiusLayers:
    @pytest.mark.parametrize("c", [0.1, 1.0, 2.7])
    def test_a_layer_is_geoopts_arithmetic(self, c):
        manifold, ball = PoincareBall(c), ball_of(c)
        layer = MobiusLinear(4, 3, manifold).double()
        u = 0.3 * torch.randn(10, 4, dtype=torch.float64)
        with torch.no_grad():
            x = ball.mobius_matvec(layer.weight, ball.expmap0(u))
            y = ball.mobius_add(x, ball.expmap0(layer.bias))
            torch.testing.assert_close(layer(u), ball.logmap0(y), rtol=1e-6, atol=1e-9)

    def test_a_network_is_its_layers_with_relu_in_the_ball(self):
        manifold, ball = PoincareBall(1.0), ball_of(1.0)
        network = MobiusMLP([5, 4, 3], manifold, (0.5, 2.0)).double()
        u = 0.3 * torch.randn(10, 5, dtype=torch.float64)
        with torch.no_grad():
            x = ball.expmap0(0.5 * u)
            for layer in (network[0], network[2]):
                if layer is network[2]:
                    x = ball.mobius_fn_apply(torch.relu, x)
                x = ball.mobius_matvec(layer.weight, x)
                x = ball.mobius_add(x, ball.expmap0(layer.bias))
            expected = 2.0 * ball.logmap0(x)
            torch.testing.assert_close(network(u), expected, rtol=1e-6, atol=1e-9)

    def test_the_flat_limit_is_the_plain_layer(self):
        layer = MobiusLinear(4, 3, PoincareBall(1e-10)).double()
        u = torch.randn(10, 4, dtype=torch.float64)
        plain = torch.nn.functional.linear(u, layer.weight, layer.bias)
        torch.testing.assert_close(layer(u), plain, rtol=1e-6, atol=1e-8)
