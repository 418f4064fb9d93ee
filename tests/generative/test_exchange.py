"""Codes as others write them: there and back, and what is no such thing."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhyper.generative import (
    CodeIndex,
    added_tokens,
    codes_to_strings,
    pack_codes,
    read_index_json,
    strings_to_codes,
    token_embeddings,
    unpack_codes,
    write_index_json,
)
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)
CODES = arrays(np.int64, SHAPES, elements=st.integers(0, 2**63 - 1))


@st.composite
def sized_codes(draw):
    sizes = draw(st.lists(st.integers(1, 2**40), min_size=1, max_size=6))
    rows = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    return np.array(draw(st.lists(rows, min_size=1, max_size=5))), sizes


@given(CODES)
def test_strings_come_back_as_codes(codes):
    assert_array_equal(strings_to_codes(codes_to_strings(codes)), codes)


def test_levels_have_the_letters_of_a_spreadsheet():
    (text,) = codes_to_strings(np.arange(54)[None])
    names = re.findall("<([a-z]+)_", text)
    assert names[:2] + names[25:28] + names[51:] == [
        *("a", "b"),
        *("z", "aa", "ab"),
        *("az", "ba", "bb"),
    ]
    assert strings_to_codes([text]).shape == (1, 54)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        (["<a_1><b_2>", "<a_1>"], r"entry 1 is '<a_1>', of 1 tokens, .* entry 0 has 2"),
        (["<b_1><a_2>"], "entry 0 .* levels must be a, b, c"),
        (["<a_1> <b_2>"], "entry 0 is '<a_1> <b_2>', expected"),
        (["<a_01>"], "entry 0"),
        (["<a_-1>"], "entry 0"),
        ([""], "entry 0 is ''"),
        ([7], "entry 0 is 7"),
        (["<a_99999999999999999999>"], "entry 0"),
        (["<a_9999999999999999999>"], "codes must lie between"),
        ([], "no codes"),
        ("<a_1>", r"give \['<a_1>'\]"),
    ],
)
def test_strings_of_another_form(strings, message):
    with pytest.raises(ValueError, match=message):
        strings_to_codes(strings)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_added_tokens_are_all_words_of_codes(sizes, data):
    words = added_tokens(sizes)
    assert len(set(words)) == len(words) == sum(sizes)
    row = [data.draw(st.integers(0, size - 1)) for size in sizes]
    starts = np.cumsum([0, *sizes[:-1]])
    (text,) = codes_to_strings([row])
    assert text == "".join(
        words[start + t] for start, t in zip(starts, row, strict=True)
    )


@pytest.mark.parametrize("kind", [ResidualQuantizer, HyperbolicResidualQuantizer])
def test_embeddings_are_the_tangent_coordinates_of_codes(kind):
    X = np.random.RandomState(0).randn(60, 3)
    pipeline = make_pipeline(StandardScaler(), kind(2, 4, random_state=0))
    codes = pipeline.fit(X).transform(X)
    index = CodeIndex().fit(codes, range(60), pipeline)
    sizes = index.codebook_sizes_
    rows = token_embeddings(pipeline, sizes)
    assert rows.shape == (len(added_tokens(sizes)), 3)
    first = pipeline[-1].inverse_transform([[0], [1], [2], [3]])
    assert_allclose(rows[:4], first, atol=1e-12)
    assert_array_equal(rows[8:], 0.0)
    assert sizes[2] > 1
    assert_array_equal(token_embeddings(pipeline), rows[:8])
    assert_array_equal(token_embeddings(pipeline, [4]), rows[:4])
    with pytest.raises(ValueError, match=r"\[4, 5\] does not begin with \[4, 4\]"):
        token_embeddings(pipeline, [4, 5])


def test_embeddings_of_what_has_no_codebooks():
    X = np.random.RandomState(0).randn(60, 3)
    with pytest.raises(TypeError, match="KMeans, which has no codebooks_"):
        token_embeddings(KMeans(2, n_init=1).fit(X))
    with pytest.raises(NotFittedError):
        token_embeddings(ResidualQuantizer())


# index.json

NUMBERS = st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=6, unique=True)
NAMES = st.lists(st.text('a\u00e9"\n', max_size=4), min_size=1, max_size=6, unique=True)


@given(NUMBERS | NAMES, st.data())
@settings(max_examples=50)
def test_index_json_comes_back(tmp_path_factory, ids, data):
    shape = (len(ids), data.draw(st.integers(1, 4)))
    codes = data.draw(arrays(np.int64, shape, elements=st.integers(0, 300)))
    path = tmp_path_factory.getbasetemp() / "x.index.json"
    write_index_json(path, codes, ids)
    found, names = read_index_json(path)
    assert_array_equal(found, codes)
    assert names.tolist() == ids


def test_index_json_is_what_others_write(tmp_path):
    path = tmp_path / "Beauty.index.json"
    content = {"0": ["<a_12>", "<b_7>"], "1": ["<a_0>", "<b_3>"]}
    path.write_text(json.dumps(content))
    codes, ids = read_index_json(path)
    assert_array_equal(codes, [[12, 7], [0, 3]])
    assert ids.dtype == np.int64
    index = CodeIndex(unique="none").fit(codes, ids)
    write_index_json(path, index.codes_, index.ids_)
    assert json.loads(path.read_text()) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ('{"0": ["<a_1>"', "delimiter"),
        ("[]", "no JSON object"),
        ("{}", "no codes"),
        ('{"0": "<a_1>"}', "item '0' has '<a_1>', expected a list"),
        ('{"0": [1]}', r"item '0' has \[1\], expected a list"),
        ('{"0": ["<a_1>"], "0": ["<a_2>"]}', "more than once: 0"),
        ('{"7": ["<a_1>"], "8": ["<a_1>", "<b_1>"]}', "item '8' .* 2 tokens, and item"),
        ('{"7": ["<a_1>", "x"]}', "item '7' is '<a_1>x'"),
        ("[" * 100_000, "index.json"),
    ],
)
def test_index_json_of_another_form(tmp_path, text, message):
    path = tmp_path / "x.index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_index_json(path)
    assert str(path) in str(caught.value)
    path.write_bytes(b"\xff" + text.encode())
    with pytest.raises(ValueError, match=r"x\.index\.json is no index\.json"):
        read_index_json(path)


def test_index_json_needs_one_id_a_row(tmp_path):
    path = tmp_path / "x.index.json"
    with pytest.raises(ValueError, match="2 rows and ids has 1"):
        write_index_json(path, [[1], [2]], [0])
    with pytest.raises(ValueError, match="more than once: 'a'"):
        write_index_json(path, [[1], [2]], ["a", "a"])
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        read_index_json(path)


# packed bits


def pack_slowly(codes, sizes):
    """A row as one whole number, the first token in its lowest bits."""
    rows = []
    for row in codes.tolist():
        number, shift = 0, 0
        for token, size in zip(row, sizes, strict=True):
            number |= token << shift
            shift += (size - 1).bit_length()
        rows.append(list(number.to_bytes((shift + 7) // 8, "little")))
    return np.array(rows, dtype=np.uint8)


@given(sized_codes())
def test_packed_codes_are_one_number_and_come_back(drawn):
    codes, sizes = drawn
    packed = pack_codes(codes, sizes)
    assert packed.dtype == np.uint8
    assert_array_equal(packed, pack_slowly(codes, sizes))
    assert_array_equal(unpack_codes(packed, sizes), codes)


def test_three_levels_of_6_bits_are_no_columns():
    """faiss gives an (n, 3) array for these too, whose columns are no levels."""
    assert pack_codes([[1, 2, 3]], 64).tolist() == [[129, 48, 0]]
    assert pack_codes([[1, 2, 3]]).tolist() == [[1, 2, 3]]


def test_codes_packed_by_faiss():
    faiss = pytest.importorskip("faiss")
    X = np.random.RandomState(0).randn(400, 8).astype(np.float32)
    quantizer = faiss.ResidualQuantizer(8, 3, 6)
    quantizer.train(X)
    packed = quantizer.compute_codes(X)
    codes = unpack_codes(packed, [64] * 3)
    assert_array_equal(pack_codes(codes, 64), packed)
    books = faiss.vector_to_array(quantizer.codebooks).reshape(3, 64, 8)
    total = sum(books[level][codes[:, level]] for level in range(3))
    assert_allclose(total, quantizer.decode(packed), atol=1e-5)


def test_bytes_that_are_no_packed_codes():
    packed = np.zeros((2, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"uint8, got shape \(2, 3\) of int64"):
        unpack_codes(packed.astype(np.int64), [64] * 3)
    with pytest.raises(ValueError, match=r"3 bytes a row, .* have 2 \(12 bits\)"):
        unpack_codes(packed, [64] * 2)
    with pytest.raises(ValueError, match="token 255"):
        unpack_codes(packed + np.uint8(255), [200] * 3)
    with pytest.raises(ValueError, match="one size for each level"):
        unpack_codes(packed, 256)
    with pytest.raises(ValueError, match="codebook_size is 2 at level 1"):
        pack_codes([[1, 2]], 2)
