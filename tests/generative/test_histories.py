"""The network from the codes of past items to that of the next."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from skhyper._nn._choices import Choices
from skhyper._nn._histories import HistoryTranslator
from skhyper._utils._trie import CodeTrie
from tests.generative.translator_twin import slow_log_likelihood

SIZES, MAX_HISTORY = (3, 4), 5
# one prefix has all followers, one has some, and one has a single one
CODES = np.array([[0, 0], [0, 1], [0, 2], [0, 3], [1, 1], [1, 3], [2, 2]])


def new_network(prefixes=True, codes=CODES):
    """A network at random whose distributions are far from uniform."""
    torch.manual_seed(0)
    shape = {"width": 8, "n_blocks": 2, "n_heads": 2}
    network = HistoryTranslator(
        SIZES, MAX_HISTORY, CodeTrie(codes), prefixes=prefixes, **shape
    )
    with torch.no_grad():
        network.tokens.weight *= 50
        network.recency.normal_()
        network.often.normal_()
        if prefixes:
            network.prefixes.weight.normal_()
    return network.eval()


def draw_items(n, n_items, seed=0):
    rng = np.random.RandomState(seed)
    return CODES[rng.randint(0, len(CODES), size=(n, n_items))]


def as_rows(items, lengths, first):
    """Rows as the network is trained on."""
    items = np.where(np.arange(items.shape[1])[:, None] < lengths, items, -1)
    return np.column_stack([first, items.reshape(len(items), -1)])


def draw_rows(n=12):
    """Sequences of different lengths, and the first item to predict of each."""
    rng = np.random.RandomState(1)
    lengths = rng.randint(2, MAX_HISTORY + 2, size=n)
    lengths[0] = MAX_HISTORY + 1
    first = np.array([rng.randint(1, length) for length in lengths])
    items = draw_items(n, MAX_HISTORY + 1)
    return items, lengths, first


@pytest.mark.parametrize("prefixes", [True, False])
def test_items_of_a_sequence_equal_a_twin_in_numpy_that_sees_the_past_of_each(prefixes):
    network, (items, lengths, first) = new_network(prefixes), draw_rows()
    rows = as_rows(items, lengths[:, None, None], first)
    expected = []
    for sequence, length, begin in zip(items, lengths, first, strict=True):
        each = [
            slow_log_likelihood(
                network, sequence[:end].reshape(1, -1), sequence[end : end + 1]
            )[0]
            for end in range(begin, length)
        ]
        expected.append(np.mean(each) / len(SIZES))
    assert np.ptp(expected) > 1
    for mode in (network.eval(), network.train()):  # it drops nothing
        actual = mode.nats(torch.from_numpy(rows)).detach().numpy()
        assert actual.shape == (len(rows), 1)
        assert_allclose(-actual[:, 0], expected, atol=1e-4)


def test_each_parameter_has_one_optimizer():
    network = new_network()
    muon, adamw = network.optimizers(0.25)
    matrices, others = (each.param_groups[0]["params"] for each in (muon, adamw))
    names = {weight: name for name, weight in network.named_parameters()}
    assert sorted(names[weight] for weight in (*matrices, *others)) == sorted(
        names.values()
    )
    parts = {names[weight].split(".")[0] for weight in matrices}
    assert parts == {"encoder", "readings", "blocks"}
    assert all(weight.ndim == 2 for weight in matrices)
    tables = {"tokens.weight", "prefixes.weight", "columns", "source_columns"}
    assert tables | {"recency", "often"} < {names[weight] for weight in others}
    for optimizer in (muon, adamw):
        assert optimizer.param_groups[0]["lr"] == 0.25


def test_items_are_hidden_in_training_alone():
    network, (items, lengths, first) = new_network(), draw_rows(200)
    rows = torch.from_numpy(as_rows(items, lengths[:, None, None], first))
    with torch.no_grad():
        expected = network.nats(rows)
        network.item_dropout = 0.25
        assert torch.equal(network.nats(rows), expected)
        assert (network.train().nats(rows) != expected).float().mean() > 0.5
        x = network._hide(torch.ones(100, 50, 8))
    assert ((x == 0).all(dim=2) | (x == 1).all(dim=2)).all()
    assert (x == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    trie = CodeTrie(CODES)
    shape = {"width": 8, "n_blocks": 1, "n_heads": 2}
    assert HistoryTranslator(SIZES, 5, trie, **shape, item_dropout=0.1).draws
    assert not HistoryTranslator(SIZES, 5, trie, **shape).draws


def test_columns_after_the_last_item_do_not_count():
    network, (items, lengths, first) = new_network(), draw_rows()
    rows = torch.from_numpy(as_rows(items, lengths[:, None, None], first))
    short = torch.from_numpy(lengths < MAX_HISTORY)
    assert short.any()
    narrow = rows[short][:, : 1 + len(SIZES) * (MAX_HISTORY - 1)]
    with torch.inference_mode():
        torch.testing.assert_close(network.nats(narrow), network.nats(rows)[short])


def test_every_parameter_is_trained():
    network, (items, lengths, first) = new_network().train(), draw_rows()
    rows = torch.from_numpy(as_rows(items, lengths[:, None, None], first))
    network.nats(rows).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("prefixes", [True, False])
def test_a_beam_as_wide_as_the_codes_is_exact(prefixes):
    network, (items, lengths, _) = new_network(prefixes), draw_rows()
    lengths = np.minimum(lengths, MAX_HISTORY)
    n = len(CODES)
    history = as_rows(items[:, :-1], lengths[:, None, None], lengths)[:, 1:]
    found, log_probability = network.beam(history, network.trie, n, n)
    for row, places, actual in zip(history, found, log_probability, strict=True):
        expected = slow_log_likelihood(network, np.tile(row, (n, 1)), CODES)
        assert logsumexp(expected) == pytest.approx(0, abs=1e-6)
        assert_array_equal(places, np.argsort(-expected, kind="stable"))
        assert_allclose(actual, expected[places], atol=1e-4)


def test_heads_begin_by_looking_at_the_latest_items():
    trie = CodeTrie(np.arange(3)[:, None])
    network = HistoryTranslator((3,), 6, trie, width=12, n_blocks=1, n_heads=3)
    fall = -network.recency.detach().diff(dim=2)
    assert (fall > 0).all()
    assert (fall.diff(dim=1) < 0).all()


def test_choices_are_the_children_of_the_trie():
    codes = np.random.RandomState(0).randint(0, (3, 9, 5), size=(40, 3))
    trie = CodeTrie(codes)
    choices = Choices(trie)
    for level in range(3):
        nodes = torch.arange(trie.n_nodes(level))
        tokens, exists = choices(level, nodes)
        assert exists.all(dim=0).sum() >= 1
        assert exists.any(dim=0).all()  # no column is there for nothing
        for node, row, there in zip(nodes, tokens, exists, strict=True):
            first, last = trie.starts[level][node : node + 2]
            assert row[there].tolist() == trie.tokens[level][first:last].tolist()
            found, place = choices.follow(level, node.expand(last - first), row[there])
            assert found.tolist() == list(range(first, last))
            assert place.tolist() == list(range(last - first))
            # a node's row is the same whatever others there are
            alone = choices(level, node[None])
            assert torch.equal(alone[0][0], row)
            assert torch.equal(alone[1][0], there)


def test_prefixes_are_numbered_in_one_go():
    codes = np.random.RandomState(0).randint(0, (3, 9, 5), size=(40, 3))
    choices = Choices(CodeTrie(codes))
    found = choices.prefixes(torch.from_numpy(codes)).numpy()
    known = [
        sorted({tuple(code[: m + 1]) for code in codes.tolist()}) for m in (0, 1, 2)
    ]
    every = [prefix for some in known for prefix in some]
    assert choices.first == np.cumsum([0, *map(len, known)]).tolist()
    for code, nodes in zip(codes.tolist(), found, strict=True):
        assert [every[node] for node in nodes] == [tuple(code[:m]) for m in (1, 2, 3)]
    # of rows of items, too
    both = choices.prefixes(torch.from_numpy(codes.reshape(8, 5, 3)))
    assert_array_equal(both.reshape(40, 3), found)


def test_a_larger_catalogue_takes_over_what_is_known_of_prefixes():
    small = new_network(codes=CODES[:5])
    weights = small.weights()
    large = new_network(codes=CODES)
    large.load_weights(large.taken_over(weights, CODES[:5]))
    told = {tuple(code[: m + 1]) for code in CODES[:5].tolist() for m in (0, 1)}
    new = large.choices.prefixes(torch.from_numpy(CODES))
    old = small.choices.prefixes(torch.from_numpy(CODES[:5]))
    vectors = large.prefixes.weight.detach()
    assert torch.equal(vectors[new[:5]], small.prefixes.weight.detach()[old])
    for code, nodes in zip(CODES.tolist(), new, strict=True):
        for m, node in enumerate(nodes):
            assert (vectors[node] == 0).all() == (tuple(code[: m + 1]) not in told)
    bare = new_network(prefixes=False)
    assert bare.taken_over(weights, CODES) is weights


def test_a_token_without_rivals_is_certain():
    network, history = new_network(), draw_items(6, 4)
    rows = as_rows(history, np.full((6, 1, 1), 4), np.full(6, 3))
    x = torch.randn(6, 2, 8)
    with torch.no_grad():
        nats = network._losses(x, torch.tensor([[2, 2]]).expand(6, 2))
    assert (nats[:, 0] > 0).all()
    assert (nats[:, 1] == 0).all()
    assert network.nats(torch.from_numpy(rows)).isfinite().all()
