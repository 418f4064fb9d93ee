"""The loss of pairs against autograd, and the pairs that are no negatives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skhyper._nn._node_table import TABLES, NodeTable, RiemannianTable
from skhyper._nn._pairs import KnownPairs, pair_gradient
from skhyper.manifolds import Euclidean, PoincareBall

MANIFOLDS = [Euclidean(), PoincareBall(0.3), PoincareBall(1.0), PoincareBall(4.0)]


def batch(manifold, seed, n_nodes=30, n=9, m=5, dim=3, spread=0.6):
    g = torch.Generator().manual_seed(seed)
    tangents = spread * torch.randn(n_nodes, dim, generator=g, dtype=torch.float64)
    heads = torch.randint(n_nodes, (n,), generator=g)
    step = 1 + torch.randint(n_nodes - 1, (n, m), generator=g)
    tails = (heads[:, None] + step) % n_nodes
    excluded = torch.rand(n, m, generator=g) < 0.3
    excluded[:, 0] = False
    return manifold.expmap0(tangents), heads, tails, excluded


def slow_loss(manifold, points, heads, tails, excluded):
    """Cross entropy of the distances, as the paper writes it, by autograd."""
    dist = manifold.dist(points[heads][:, None], points[tails])
    logits = -dist if manifold.c else -2.0 * dist
    logits = logits.masked_fill(excluded, -torch.inf)
    return -torch.log_softmax(logits, dim=1)[:, 0].mean()


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_autograds(manifold, seed):
    points, *rest = batch(manifold, seed)
    loss, gradient = pair_gradient(manifold, points, *rest)
    points.requires_grad_()
    expected = slow_loss(manifold, points, *rest)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, points.grad, rtol=1e-9, atol=1e-12)


def test_equal_points_have_no_gradient_and_no_nan():
    ball = PoincareBall(1.0)
    points = torch.zeros(4, 2, dtype=torch.float64)
    heads, tails = torch.tensor([0]), torch.tensor([[1, 2, 3]])
    loss, gradient = pair_gradient(ball, points, heads, tails, tails < 0)
    assert float(loss) == pytest.approx(np.log(3))
    assert torch.equal(gradient, torch.zeros_like(points))


def test_the_flat_limit_of_the_ball():
    points, *rest = batch(Euclidean(), 0)
    flat_loss, flat = pair_gradient(Euclidean(), points, *rest)
    loss, gradient = pair_gradient(PoincareBall(1e-9), points, *rest)
    assert float(loss) == pytest.approx(float(flat_loss), rel=1e-7)
    torch.testing.assert_close(gradient, flat, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
@pytest.mark.parametrize("kind", sorted(TABLES))
def test_the_gradient_reaches_the_parameter_as_by_autograd(manifold, kind):
    g = torch.Generator().manual_seed(5)
    start = torch.randn(8, 3, generator=g, dtype=torch.float64)
    start[0], start[1] = 0.0, 1e-6  # where the differential is a series
    table = TABLES[kind](manifold, start, None)
    points = table.points()
    at_points = torch.randn(8, 3, generator=g, dtype=torch.float64)
    at_tangents = torch.randn(8, 3, generator=g, dtype=torch.float64)
    table.pull_back(points, at_points, at_tangents)

    twin = table.parameter.detach().clone().requires_grad_()
    if isinstance(table, RiemannianTable):
        given_points, tangents = twin, manifold.logmap0(twin)
    else:
        given_points, tangents = manifold.expmap0(twin), twin
    (given_points * at_points + tangents * at_tangents).sum().backward()
    torch.testing.assert_close(table.parameter.grad, twin.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_points_keep_within_reach(kind):
    ball = PoincareBall(2.0)
    start = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator())
    table = TABLES[kind](ball, start, 0.7)
    before = table.tangents()
    table.after_step()
    length = torch.linalg.vector_norm(before, dim=1, keepdim=True)
    expected = before * torch.clamp(0.7 / length, max=1.0)
    torch.testing.assert_close(table.tangents(), expected, rtol=1e-9, atol=1e-12)
    assert length.max() > 0.7


def test_a_step_of_rsgd_is_geoopts():
    import geoopt

    points, *rest = batch(PoincareBall(1.0), 1)
    table = RiemannianTable(PoincareBall(1.0), PoincareBall(1.0).logmap0(points), None)
    optimizer = table.optimizer(0.5)
    _, gradient = pair_gradient(table.manifold, table.points(), *rest)
    table.pull_back(table.points(), gradient)
    optimizer.step()

    ball = geoopt.PoincareBall()
    twin = ball.retr(points, -0.5 * ball.egrad2rgrad(points, gradient))
    torch.testing.assert_close(table.points(), ball.projx(twin), rtol=1e-9, atol=1e-12)


def test_a_step_of_adam_lowers_the_loss():
    manifold = PoincareBall(1.0)
    points, *rest = batch(manifold, 2)
    table = NodeTable(manifold, manifold.logmap0(points), None)
    optimizer = table.optimizer(0.01)
    losses = []
    for _ in range(20):
        loss, gradient = pair_gradient(manifold, table.points(), *rest)
        table.pull_back(table.points(), gradient)
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.1


@settings(max_examples=50)
@given(
    st.integers(2, 60),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), min_size=1),
)
def test_known_pairs_are_those_given_and_the_nodes_themselves(n_nodes, pairs):
    pairs = [(u % n_nodes, v % n_nodes) for u, v in pairs]
    known = KnownPairs(torch.tensor(pairs), n_nodes)
    heads = torch.arange(n_nodes)
    tails = torch.arange(n_nodes).expand(n_nodes, n_nodes)
    expected = np.eye(n_nodes, dtype=bool)
    expected[tuple(np.array(pairs).T)] = True
    np.testing.assert_array_equal(known(heads, tails).numpy(), expected)


def test_known_pairs_among_more_nodes_than_slots():
    rng = np.random.RandomState(0)
    n_nodes = 80_000
    pairs = torch.from_numpy(rng.randint(n_nodes, size=(5000, 2)))
    known = KnownPairs(pairs, n_nodes)
    assert known(pairs[:, 0], pairs[:, 1:]).all()
    strangers = torch.from_numpy(rng.randint(n_nodes, size=(5000, 40)))
    given_pairs = set(map(tuple, pairs.tolist()))
    expected = [
        [(u, v) in given_pairs or u == v for v in row]
        for u, row in zip(pairs[:, 0].tolist(), strangers.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(known(pairs[:, 0], strangers).numpy(), expected)
