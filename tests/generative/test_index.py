"""The catalogue: unique codes whatever the order, for good, and found in both ways."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skhyper import io
from skhyper.generative import CodeIndex
from skhyper.generative._items import content_hash
from skhyper.hierarchy import HierarchyTokenizer
from skhyper.quantizers import HyperbolicResidualQuantizer, ResidualQuantizer
from skhyper.tokenizers import HRQVAETokenizer, RQVAETokenizer

MODES = ["counter", "reassign", "none"]
SIZES = [3, 4]
quick = settings(max_examples=30)

IDS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12, unique=True)
NAMES = st.lists(st.text("ab\u00e9", max_size=3), min_size=1, max_size=12, unique=True)


@st.composite
def catalogues(draw):
    """Items that fit SIZES, and a number of them to come later."""
    ids = draw(IDS | NAMES)
    tokens = st.tuples(*(st.integers(0, size - 1) for size in SIZES))
    codes = draw(st.lists(tokens, min_size=len(ids), max_size=len(ids)))
    return np.array(codes), np.array(ids), draw(st.integers(0, len(ids) - 1))


def rows():
    rng = np.random.RandomState(0)
    return rng.randn(80, 3)


def crowd(n=40):
    """Rows of which many share a code."""
    return rows()[:1] + 0.3 * np.random.RandomState(1).randn(n, 3)


@pytest.fixture(scope="module", params=[ResidualQuantizer, HyperbolicResidualQuantizer])
def quantizer(request):
    return request.param(2, 8, n_init=1, max_iter=5, random_state=0).fit(rows())


def state(index):
    return {k: v for k, v in vars(index).items() if k.endswith("_")}


def assert_same(one, other):
    for name, value in state(one).items():
        assert_array_equal(getattr(other, name), value, err_msg=name)


# unique, in any order, for good


@pytest.mark.parametrize("unique", MODES)
@quick
@given(catalogue=catalogues(), seed=st.integers(0, 1000))
def test_the_order_of_rows_does_not_count(unique, catalogue, seed):
    codes, ids, _ = catalogue
    index = CodeIndex(unique=unique, codebook_size=SIZES).fit(codes, ids)
    order = np.random.RandomState(seed).permutation(len(ids))
    other = clone(index).fit(codes[order], ids[order])
    assert_same(index, other)
    assert_array_equal(index.ids_, np.sort(ids))
    if unique != "none":
        assert len(np.unique(index.codes_, axis=0)) == len(ids)
    if unique != "reassign":
        assert_array_equal(index.lookup(ids)[:, :2], codes)
        assert index.n_moved_ == 0


@pytest.mark.parametrize("unique", MODES)
@quick
@given(catalogue=catalogues())
def test_adding_moves_nobody(unique, catalogue):
    codes, ids, n_new = catalogue
    old = slice(n_new, None)
    index = CodeIndex(unique=unique, codebook_size=SIZES).fit(codes[old], ids[old])
    before = index.lookup(ids[old])
    assert len(index) == len(ids) - n_new
    if n_new == 0:
        return
    assert index.add(codes[:n_new], ids[:n_new]) is None
    assert len(index) == len(ids)
    assert_array_equal(index.lookup(ids[old]), before)
    assert_array_equal(index.ids_, np.sort(ids))
    assert (index.codes_ < index.codebook_sizes_).all()
    if unique != "none":
        assert len(np.unique(index.codes_, axis=0)) == len(ids)
    if unique != "reassign":
        assert_array_equal(index.lookup(ids)[:, :2], codes)


def test_counters_number_the_items_of_a_code_by_id():
    codes = [[1, 1], [0, 0], [1, 1], [1, 1]]
    index = CodeIndex().fit(codes, ["d", "c", "a", "b"])
    assert index.lookup(list("dabc"))[:, -1].tolist() == [2, 0, 1, 0]
    assert index.codebook_sizes_.tolist() == [2, 2, 3]
    index.add([[1, 1], [0, 0]], ["A", "z"])
    assert index.lookup(list("dabcAz"))[:, -1].tolist() == [2, 0, 1, 0, 3, 1]
    assert index.codebook_sizes_.tolist() == [2, 2, 4]


def test_reassigned_items_lie_no_farther_than_needed(quantizer):
    X = crowd()
    codes, ids = quantizer.transform(X), np.arange(40)
    index = CodeIndex(unique="reassign").fit(codes, ids, quantizer, X)
    assert index.n_moved_ == (index.codes_ != codes).any(axis=1).sum() > 5
    manifold = quantizer._manifold()

    def errors(codes):
        points = (manifold.expmap0(Z) for Z in (X, quantizer.inverse_transform(codes)))
        return manifold.sq_half_dist(*points)

    assert_allclose(index.distortion_, errors(codes).mean())
    rise = errors(index.codes_).mean() - errors(codes).mean()
    assert_allclose(index.extra_distortion_, rise)
    # without X items stay below their prefixes, which costs more
    other = CodeIndex(unique="reassign").fit(codes, ids, quantizer)
    assert errors(other.codes_).mean() > errors(index.codes_).mean()
    assert other.distortion_ is other.extra_distortion_ is other.misfit_error_ is None
    order = np.random.RandomState(0).permutation(40)
    assert_same(index, clone(index).fit(codes[order], ids[order], quantizer, X[order]))


@pytest.mark.parametrize("unique", MODES)
def test_misfits_are_flagged_in_the_order_given(quantizer, unique):
    X = rows()[:20]
    codes = quantizer.transform(X)

    def fitted():
        index = CodeIndex(unique=unique, misfit_quantile=0.9)
        return index.fit(codes, range(20), quantizer, X)

    new = np.concatenate([crowd(6), 30 * np.ones((2, 3)), crowd(1)])
    ids = [90, 99, 98, 97, 96, 95, 94, 93, 92]
    found = quantizer.transform(new)
    misfits = fitted().add(found, ids, quantizer, new)
    assert misfits[6:8].all()
    assert not misfits.all()
    alone = [
        fitted().add(found[[i]], [90], quantizer, new[[i]]).item() for i in range(9)
    ]
    assert misfits.tolist() == alone
    # of the very items of the fit, the share that the quantile says
    assert fitted().add(codes, range(20, 40), quantizer, X).mean() == 0.1


@pytest.mark.parametrize("cls", [RQVAETokenizer, HRQVAETokenizer])
def test_tokenizers_with_a_network(cls):
    tokenizer = cls(
        2, 4, latent_dim=2, hidden_layer_sizes=(5,), max_iter=5, random_state=0
    )
    pipeline = make_pipeline(StandardScaler(), tokenizer).fit(rows())
    X = rows()[:12]
    codes = pipeline.transform(X)
    index = CodeIndex(unique="reassign").fit(codes, range(12), pipeline, X)
    assert len(np.unique(index.codes_, axis=0)) == 12
    latents = [
        tokenizer._manifold().expmap0(half(pipeline[:-1].transform(X)))
        for half in (tokenizer.embed, tokenizer.quantize)
    ]
    half_dist = tokenizer._manifold().sq_half_dist(*latents)
    assert_allclose(index.distortion_, half_dist.mean(), rtol=1e-6)


def test_nodes_of_a_hierarchy():
    edges = [("b", "a"), ("c", "a"), ("d", "b"), ("e", "b"), ("f", "c"), ("g", "c")]
    tokenizer = HierarchyTokenizer(2, 3, latent_dim=3, max_iter=4, random_state=0)
    names = list("abcdefg")
    codes = tokenizer.fit(edges).transform(names)
    index = CodeIndex(unique="reassign").fit(codes, names, tokenizer, names)
    assert len(np.unique(index.codes_, axis=0)) == 7
    assert index.distortion_ >= 0


def test_pictures_have_codes_at_positions():
    X = np.random.RandomState(0).rand(24, 64)
    tokenizer = RQVAETokenizer(
        1,
        4,
        latent_dim=2,
        input_shape=(1, 8, 8),
        n_channels=2,
        max_iter=2,
        random_state=0,
    ).fit(X)
    codes = tokenizer.transform(X)
    index = CodeIndex().fit(codes, range(24), tokenizer, X)
    assert index.codebook_sizes_[:-1].tolist() == [4] * codes.shape[1]
    assert index.distortion_ > 0
    with pytest.raises(ValueError, match=r"at 4 positions .* Leave X out"):
        CodeIndex(unique="reassign").fit(codes, range(24), tokenizer, X)
    index = CodeIndex(unique="reassign").fit(codes, range(24), tokenizer)
    assert len(np.unique(index.codes_, axis=0)) == 24


# from ids to codes, and back


@quick
@given(catalogue=catalogues(), width=st.integers(1, 3))
def test_prefixes_have_the_items_that_a_scan_finds(catalogue, width):
    codes, ids, _ = catalogue
    index = CodeIndex().fit(codes, ids)
    asked = np.array(np.meshgrid(*[range(5)] * width)).reshape(width, -1).T
    pairs = sorted(zip(index.codes_.tolist(), index.ids_.tolist(), strict=True))
    for prefix, found in zip(asked.tolist(), index.prefix(asked), strict=True):
        assert found.tolist() == [i for code, i in pairs if code[:width] == prefix]


@pytest.mark.parametrize("unique", ["counter", "reassign"])
@quick
@given(catalogue=catalogues(), seed=st.integers(0, 100))
def test_lookup_and_back(unique, catalogue, seed):
    codes, ids, _ = catalogue
    index = CodeIndex(unique=unique, codebook_size=SIZES).fit(codes, ids)
    asked = ids[np.random.RandomState(seed).randint(len(ids), size=20)]
    assert_array_equal(index.inverse_lookup(index.lookup(asked)), asked)


def test_items_that_share_a_code():
    index = CodeIndex(unique="none").fit([[1], [1], [0]], ["b", "a", "c"])
    assert [found.tolist() for found in index.prefix([[1], [2], [0]])] == [
        ["a", "b"],
        [],
        ["c"],
    ]
    assert index.inverse_lookup([[0]]).tolist() == ["c"]
    with pytest.raises(ValueError, match=r"\[1\] in row 1, which several items share"):
        index.inverse_lookup([[0], [1]])
    with pytest.raises(ValueError, match=r"\[9\] in row 0, which no item has"):
        index.inverse_lookup([[9]])


def test_queries_see_what_was_added_and_fitted_since():
    index = CodeIndex().fit([[1], [0]], [5, 6])
    assert index.prefix([[1]])[0].tolist() == [5]
    index.add([[1]], [4])
    assert index.prefix([[1]])[0].tolist() == [5, 4]
    assert copy.deepcopy(index).prefix([[1]])[0].tolist() == [5, 4]
    index.fit([[1], [0]], [7, 8])
    assert index.prefix([[1]])[0].tolist() == [7]


def test_no_ids_have_no_codes():
    for ids in (["a", "b"], [1, 2]):
        found = CodeIndex().fit([[1], [0]], ids).lookup([])
        assert found.shape == (0, 2)


def test_ids_of_many_kinds():
    for ids in (pd.Series([3, 1]), np.array([3, 1], dtype=np.uint8), range(3, 1, -1)):
        assert CodeIndex().fit([[1], [0]], ids).ids_.dtype == np.int64
    for ids in (pd.Series(["c", "aa"]), np.array(["c", "aa"], dtype=object)):
        index = CodeIndex().fit([[1], [0]], ids)
        assert index.ids_.tolist() == ["aa", "c"]
        assert index.lookup(["c"]).tolist() == [[1, 0]]


def test_to_frame(monkeypatch):
    index = CodeIndex().fit([[1, 5], [0, 2]], ["b", "a"])
    frame = index.to_frame()
    assert frame.loc["b"].to_dict() == {"level_0": 1, "level_1": 5, "counter": 0}
    assert frame.index.name == "id"
    plain = CodeIndex(unique="none").fit([[1, 5], [0, 2]], [1, 2]).to_frame()
    assert list(plain) == ["level_0", "level_1"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        index.to_frame()


# the tokenizer behind it


def test_the_hash_is_that_of_what_codes_come_from(quantizer, tmp_path):
    expected = content_hash(quantizer)
    io.save(quantizer, tmp_path / "q")
    twins = [copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))]
    twins += [io.load(tmp_path / "q"), clone(quantizer).fit(rows())]
    twins += [copy.deepcopy(quantizer).set_params(n_init=7, random_state=None)]
    twins[0].codebooks_ = [np.asfortranarray(book) for book in twins[0].codebooks_]
    assert {content_hash(twin) for twin in twins} == {expected}
    others = [copy.deepcopy(quantizer).set_params(beam_size=3)]
    others += [clone(quantizer).fit(rows()[:-1]), copy.deepcopy(quantizer)]
    others[-1].codebooks_[1][0, 0] = np.nextafter(others[-1].codebooks_[1][0, 0], 9)
    assert len({content_hash(other) for other in others} | {expected}) == 4


def test_the_hash_of_a_pipeline_has_all_its_steps():
    def fitted(X=None, scaler=None, **parameters):
        scaler = StandardScaler() if scaler is None else scaler
        steps = [scaler, ResidualQuantizer(2, 4, n_init=1, random_state=0)]
        return make_pipeline(*steps, **parameters).fit(rows() if X is None else X)

    expected = content_hash(fitted())
    assert content_hash(fitted(verbose=True)) == expected
    assert content_hash(copy.deepcopy(fitted())) == expected
    others = [fitted(rows()[:-1]), fitted(scaler=StandardScaler(with_std=False))]
    others += [fitted(scaler=FunctionTransformer(func)) for func in (np.exp, np.tanh)]
    others += [fitted(scaler="passthrough"), fitted()[-1]]
    assert len({content_hash(other) for other in others} | {expected}) == 7
    X = pd.DataFrame(rows(), columns=list("abc"))
    assert len(content_hash(fitted(X).set_output(transform="pandas"))) == 64


def test_what_cannot_be_hashed():
    step = FunctionTransformer(np.clip, kw_args={"out": object()})
    pipeline = make_pipeline(step, ResidualQuantizer(1, 4))
    vars(pipeline[-1]).update(codebooks_=[np.zeros((4, 3))])
    message = r"tokenizer\.steps\.0\.kw_args\.out is of type object"
    with pytest.raises(TypeError, match=message):
        content_hash(pipeline)
    with pytest.raises(NotFittedError):
        content_hash(ResidualQuantizer())


def test_another_tokenizer_is_an_error(quantizer):
    X = rows()
    codes = quantizer.transform(X)
    other = clone(quantizer).set_params(n_levels=1).fit(X)
    index = CodeIndex().fit(codes, range(80), quantizer)
    index.check_tokenizer(copy.deepcopy(quantizer))
    with pytest.raises(ValueError, match=r"are from one with [0-9a-f]{12}"):
        index.check_tokenizer(other)
    with pytest.raises(ValueError, match="are from one with"):
        index.add(codes[:1], [80], other)
    assert len(index) == 80
    with pytest.raises(ValueError, match="was fitted without one"):
        CodeIndex().fit(codes, range(80)).check_tokenizer(quantizer)


# files


@pytest.mark.parametrize("ids", [range(40), [f"item \u00e9 {i}" for i in range(40)]])
@pytest.mark.parametrize("unique", MODES)
def test_saved_and_loaded_indexes_are_the_same(quantizer, unique, ids, tmp_path):
    X = crowd()
    codes = quantizer.transform(X)
    index = CodeIndex(unique=unique).fit(codes, ids, quantizer, X)
    index.save(tmp_path / "index")
    twin = CodeIndex.load(tmp_path / "index")
    assert twin.get_params() == index.get_params()
    assert_same(index, twin)
    twin.check_tokenizer(quantizer)
    other = ["x", "y"] if isinstance(ids, list) else [50, 60]
    for one in (index, twin):
        one.add(codes[:2], other, quantizer, X[:2])
    assert_same(index, twin)
    assert twin.prefix(codes[:3])[0].tolist() == index.prefix(codes[:3])[0].tolist()


def test_files_that_are_no_index(quantizer, tmp_path):
    path = tmp_path / "index"
    with pytest.raises(FileNotFoundError):
        CodeIndex.load(path)
    io.save(quantizer, path)
    with pytest.raises(ValueError, match=r"holds a .*ResidualQuantizer, not a CodeInd"):
        CodeIndex.load(path)
    CodeIndex().fit([[1], [0]], ["a", "b"]).save(path)
    raw = path.read_bytes()
    for at in range(0, len(raw), 7):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(ValueError, match="cannot be loaded"):
            CodeIndex.load(path)
    path.write_bytes(raw[:-3])
    with pytest.raises(ValueError, match="cannot be loaded"):
        CodeIndex.load(path)
    with pytest.raises(NotFittedError):
        CodeIndex().save(path)


# what cannot be used


@pytest.mark.parametrize(
    ("codes", "ids", "message"),
    [
        ([[1], [2]], [7], "codes has 2 rows and ids has 1"),
        ([[1], [2], [3]], ["b", "a", "b"], "1 that occur more than once: 'b'"),
        ([[1], [2]], [1, "a"], "all integers or all strings, got int, str"),
        ([[1], [2]], ["a", None], "all integers or all strings, got NoneType, str"),
        ([[1], [2]], [1.0, 2.0], "got dtype float64"),
        ([[1], [2]], np.array([2**63, 1], dtype=np.uint64), "got dtype uint64"),
        ([[1], [2]], [True, False], "got dtype bool"),
        ([[1], [2]], [[1], [2]], r"got \(2, 1\)"),
        ([[1], [2]], "ab", r"got \(\)"),
        ([[1.0], [2.0]], [1, 2], "codes must be integers, got dtype float64"),
        ([[1], [-1]], [1, 2], "codes must lie between"),
        ([1, 2], [1, 2], r"codes must have shape"),
    ],
)
def test_items_that_cannot_be_used(codes, ids, message):
    with pytest.raises(ValueError, match=message):
        CodeIndex().fit(codes, ids)
    index = CodeIndex(codebook_size=9).fit([[1], [0]], ["x", "y"])
    with pytest.raises(ValueError, match=message):
        index.add(codes, ids)
    assert len(index) == 2


def test_items_that_cannot_be_added():
    index = CodeIndex(unique="reassign").fit([[1, 1], [0, 0]], ["x", "y"])
    before = copy.deepcopy(index)
    for codes, ids, message in [
        ([[1, 1]], ["x"], "1 that are in the index: 'x'"),
        ([[1, 1]], [3], "ids are integers, and those of the index are strings"),
        ([[1]], ["z"], "codes has 1 columns, and those given to fit had 2"),
        ([[1, 2]], ["z"], r"codebook_size is 2 at level 1, but codes has the token 2"),
        ([[1, 1]] * 3, ["p", "q", "r"], r"5 items .* sizes \[2, 2\] have 4 codes"),
    ]:
        with pytest.raises(ValueError, match=message):
            index.add(codes, ids)
        assert_same(before, index)
    with pytest.raises(ValueError, match=r"codes has 2 columns, and .* had 1"):
        CodeIndex().fit([[1]], ["x"]).add([[1, 0]], ["y"])
    with pytest.raises(NotFittedError):
        CodeIndex().add([[1]], ["x"])


def test_unknown_items_and_wide_codes():
    index = CodeIndex().fit([[1], [0]], ["a", "b"])
    with pytest.raises(
        ValueError, match="4 that are not in the index: 'c', 'd', 'e', "
    ):
        index.lookup(list("acdef"))
    with pytest.raises(ValueError, match="ids are integers, and those of"):
        index.lookup([1])
    with pytest.raises(ValueError, match=r"\(\). Give a list"):
        index.lookup("a")
    with pytest.raises(ValueError, match=r"codes has 1 columns, .* have 2"):
        index.inverse_lookup([[1]])
    with pytest.raises(ValueError, match=r"codes has 3 columns, .* have 2"):
        index.prefix([[1, 0, 0]])
    for method, given_ in [("lookup", ["a"]), ("prefix", [[1]]), ("to_frame", None)]:
        with pytest.raises(NotFittedError):
            getattr(CodeIndex(), method)(*([] if given_ is None else [given_]))


def test_a_tokenizer_that_does_not_go_with_the_items(quantizer):
    X = rows()
    codes, ids = quantizer.transform(X), range(80)
    index = CodeIndex()
    with pytest.raises(ValueError, match="X is given without tokenizer"):
        index.fit(codes, ids, X=X)
    with pytest.raises(ValueError, match="X has 79 rows and ids has 80"):
        index.fit(codes, ids, quantizer, X[:-1])
    with pytest.raises(ValueError, match=r"in [0-9]+% of the rows only"):
        index.fit(codes, ids, quantizer, X[::-1])
    with pytest.raises(ValueError, match="codes has 3 columns, and tokenizer gives 2"):
        index.fit(np.column_stack([codes, codes[:, 0]]), ids, quantizer)
    with pytest.raises(ValueError, match="codebook_size is 8 at level 0"):
        index.fit(codes + 1, ids, quantizer)
    with pytest.raises(ValueError, match=r"codebook_size=4, but .* \[8, 8\] codes"):
        CodeIndex(codebook_size=4).fit(codes, ids, quantizer)
    with pytest.raises(NotFittedError):
        index.fit(codes, ids, clone(quantizer))
    assert not hasattr(index, "codes_")
    index.fit(codes, ids, quantizer)
    with pytest.raises(ValueError, match="index was fitted without"):
        index.add(codes[:1], [80], quantizer, X[:1])


def test_another_kind_of_estimator_has_a_hash_only():
    X = rows()
    kmeans = KMeans(4, n_init=1, random_state=0).fit(X)
    codes = kmeans.labels_.astype(np.int64)[:, None]
    index = CodeIndex().fit(codes, range(80), kmeans)
    index.check_tokenizer(copy.deepcopy(kmeans))
    with pytest.raises(ValueError, match="content hash"):
        index.check_tokenizer(clone(kmeans).fit(X[:-1]))
    with pytest.raises(TypeError, match="KMeans, which has no codebooks_"):
        CodeIndex().fit(codes, range(80), kmeans, X)


def test_parameters():
    index = CodeIndex(unique="reassign", codebook_size=[2, 3], misfit_quantile=0.5)
    assert clone(index).get_params() == index.get_params()
    assert len(index) == 0
    assert index  # an estimator is true, also before it is fitted
    for parameters, message in [
        ({"unique": "sinkhorn"}, "unique"),
        ({"codebook_size": 0}, "codebook_size"),
        ({"codebook_size": [2, 2, 2]}, "3 entries for n_levels=2"),
        ({"codebook_size": [2, 3]}, "codebook_size is 3 at level 1"),
        ({"misfit_quantile": 1.5}, "misfit_quantile"),
    ]:
        with pytest.raises(ValueError, match=message):
            CodeIndex(**parameters).fit([[1, 3]], [0])
    with pytest.raises(ValueError, match=r"3 items .* sizes \[1, 2\] have 2 codes"):
        CodeIndex(unique="reassign").fit([[0, 1]] * 3, [0, 1, 2])
