"""The network from the codes of past items to that of the next."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from skhyper._nn._histories import HistoryTranslator
from skhyper._utils._trie import CodeTrie
from tests.generative.translator_twin import slow_log_likelihood

SIZES, MAX_HISTORY = (3, 4), 5


def new_network():
    """A network at random whose distributions are far from uniform."""
    torch.manual_seed(0)
    network = HistoryTranslator(SIZES, MAX_HISTORY, width=8, n_blocks=2, n_heads=2)
    with torch.no_grad():
        network.tokens.weight *= 50
        network.recency.normal_()
        for layer in network.outputs:
            layer.weight *= 8
    return network.eval()


def draw_items(n, n_items, seed=0):
    rng = np.random.RandomState(seed)
    return rng.randint(0, SIZES, size=(n, n_items, len(SIZES)))


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


def test_items_of_a_sequence_equal_a_twin_in_numpy_that_sees_the_past_of_each():
    network, (items, lengths, first) = new_network(), draw_rows()
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


def test_a_beam_as_wide_as_the_codes_is_exact():
    network, (items, lengths, _) = new_network(), draw_rows()
    lengths = np.minimum(lengths, MAX_HISTORY)
    codes = np.array(list(itertools.product(*map(range, SIZES))))
    history = as_rows(items[:, :-1], lengths[:, None, None], lengths)[:, 1:]
    found, log_probability = network.beam(history, CodeTrie(codes), 12, 12)
    for row, places, actual in zip(history, found, log_probability, strict=True):
        expected = slow_log_likelihood(network, np.tile(row, (12, 1)), codes)
        assert logsumexp(expected) == pytest.approx(0, abs=1e-6)
        assert_array_equal(places, np.argsort(-expected, kind="stable"))
        assert_allclose(actual, expected[places], atol=1e-4)


def test_heads_begin_by_looking_at_the_latest_items():
    network = HistoryTranslator((3,), 6, width=12, n_blocks=1, n_heads=3)
    fall = -network.recency.detach().diff(dim=2)
    assert (fall > 0).all()
    assert (fall.diff(dim=1) < 0).all()
