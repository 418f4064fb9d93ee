"""The prefix tree of codes against dictionaries in dictionaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal

from skhyper._utils._trie import CodeTrie

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
FEW = arrays(np.int64, SHAPES, elements=st.integers(0, 2))
ANY = arrays(np.int64, SHAPES, elements=st.integers(0, 2**63 - 1))


def nested(codes):
    """The same tree, each node the dictionary of its children."""
    root = {}
    for row in codes.tolist():
        node = root
        for token in row:
            node = node.setdefault(token, {})
    return root


def walk(trie):
    """Go from the root to all nodes of all levels by `children` alone."""
    dictionaries, nodes = [nested(trie.rows)], np.zeros(1, dtype=np.int64)
    for level in range(trie.width):
        children, exists = trie.children(level, nodes)
        assert exists.any(axis=0).all()  # no wider than the widest
        tokens = trie.tokens[level][children]
        yield level, dictionaries, tokens, exists
        dictionaries = [d[t] for d in dictionaries for t in sorted(d)]
        nodes = children[exists]
        assert_array_equal(nodes, np.arange(trie.n_nodes(level + 1)))


@given(FEW | ANY)
def test_nodes_are_those_of_dictionaries(codes):
    trie = CodeTrie(codes)
    assert nested(trie.rows) == nested(codes)
    assert trie.n_nodes(0) == 1
    for _, dictionaries, tokens, exists in walk(trie):
        assert len(tokens) == len(dictionaries)
        for dictionary, row, there in zip(dictionaries, tokens, exists, strict=True):
            assert row[there].tolist() == sorted(dictionary)
            assert there[: len(dictionary)].all()


@given(FEW | ANY)
def test_leaves_are_the_distinct_rows_in_order(codes):
    trie = CodeTrie(codes)
    assert_array_equal(trie.rows, np.unique(codes, axis=0))
    assert trie.n_nodes(trie.width) == len(trie.rows)
    assert trie.width == codes.shape[1]


@given(FEW, st.integers(0, 2**32 - 1))
def test_order_and_repeats_do_not_count(codes, seed):
    drawn = np.random.RandomState(seed).permutation(np.repeat(codes, 2, axis=0))
    one, other = CodeTrie(codes), CodeTrie(np.asfortranarray(drawn))
    assert_array_equal(one.rows, other.rows)
    for level in range(one.width):
        assert_array_equal(one.tokens[level], other.tokens[level])
        assert_array_equal(one.starts[level], other.starts[level])


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_children_of_nodes_of_any_shape(shape):
    trie = CodeTrie(np.random.RandomState(0).randint(4, size=(40, 3)))
    nodes = np.random.RandomState(1).randint(trie.n_nodes(1), size=shape)
    children, exists = trie.children(1, nodes)
    assert children.shape == exists.shape
    assert children.shape[:-1] == shape
    for at in np.ndindex(shape):
        alone = trie.children(1, nodes[at])
        assert_array_equal(children[at], alone[0])
        assert_array_equal(exists[at], alone[1])
        # where there is no child, a node that can be looked up
        assert (children[at] < trie.n_nodes(2)).all()
