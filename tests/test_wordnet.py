"""Edges and their closure, the mammals, WordNet's files, and splits of a hierarchy."""

import hashlib
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skhyper._utils._edges import ancestors, check_acyclic, check_edges, check_rows
from skhyper.datasets import (
    _download,
    _wndb,
    fetch_wordnet_nouns,
    hypernymy_split,
    load_wordnet_mammals,
    transitive_closure,
)
from skhyper.datasets._naics import _resource

# Edges lead from a larger number to a smaller one: no cycles.
hierarchies = st.sets(
    st.tuples(st.integers(0, 12), st.integers(0, 12))
    .map(sorted)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: (pair[1], pair[0])),
    min_size=1,
    max_size=30,
)


def slow_ways(edges):
    """Shortest way up from each node to each ancestor, by steps of sets."""
    parents = {}
    for child, parent in edges:
        parents.setdefault(child, set()).add(parent)
    ways = {}
    for node in parents:
        reached, length = parents[node], 1
        while reached:
            for ancestor in reached:
                ways.setdefault((node, ancestor), length)
            reached = {up for above in reached for up in parents.get(above, ())}
            length += 1
    return ways


class Graph:
    """A stand-in for networkx.DiGraph."""

    def __init__(self, edges, directed=True):
        self._edges, self._directed = edges, directed

    def is_directed(self):
        return self._directed

    @property
    def edges(self):
        return lambda: iter(self._edges)


@given(hierarchies)
def test_closure_equals_steps_of_sets(edges):
    ways = slow_ways(edges)
    pairs = transitive_closure(list(edges))
    assert pairs.dtype == np.int64
    assert list(map(tuple, pairs.tolist())) == sorted(ways)
    assert_array_equal(transitive_closure(pairs), pairs)
    classes, index = check_edges(edges)
    up = ancestors(index, len(classes)).toarray()
    at = {node: row for row, node in enumerate(classes.tolist())}
    assert {(a, b): up[at[a], at[b]] for a, b in ways} == ways
    assert np.count_nonzero(up) == len(ways)


@given(hierarchies)
def test_closure_names_nodes_as_they_were_named(edges):
    named = [(f"n{a:02d}", f"n{b:02d}") for a, b in edges]
    pairs = transitive_closure(named)
    assert pairs.dtype == object
    expected = [(f"n{a:02d}", f"n{b:02d}") for a, b in transitive_closure(list(edges))]
    assert list(map(tuple, pairs)) == expected


def test_edges_may_come_in_any_form():
    pairs = [("dog", "canine"), ("canine", "mammal"), ("dog", "canine")]
    frame = pd.DataFrame(pairs, columns=["edges", "parent"])
    forms = [
        np.array(pairs),
        np.array(pairs, dtype=object),
        frame,
        frame.astype("string"),
        frame.astype("category"),
        Graph(pairs),
        set(pairs),
        (pair for pair in pairs),
        np.array(pairs, dtype=np.dtypes.StringDType()),
    ]
    for form in [pairs, *forms]:
        classes, index = check_edges(form)
        assert classes.tolist() == ["canine", "dog", "mammal"]
        assert classes.dtype.kind == "U"
        assert index.dtype == np.int64
        assert index.tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, object])
def test_labels_may_be_any_integers(dtype):
    classes, index = check_edges(np.array([[5, 2], [2, 0]]).astype(dtype))
    assert classes.dtype == np.int64
    assert classes.tolist() == [0, 2, 5]
    assert index.tolist() == [[1, 0], [2, 1]]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], r"pairs .* got shape \(0,\)"),
        (np.empty((0, 2), dtype=int), "edges is empty"),
        (["ab", "cd"], r"got shape \(2,\)"),
        ([("a", "b", "c")], r"got shape \(1, 3\)"),
        ([("a", "b"), ("c",)], r"got shape \(2,\)"),
        (5, r"got shape \(\)"),
        ([("a", "b"), ("c", 1)], "mixes strings and integers, such as 'a' and 1"),
        ([(1, 0), (1, None)], r"has the label None in row 1.*leave out rows"),
        ([("a", np.nan)], r"has the label nan in row 0"),
        (pd.DataFrame({"a": ["x", pd.NA], "b": ["y", "z"]}), "label nan|label <NA>"),
        ([(0.0, 1.0)], r"has the label 0.0 in row 0.*edges.astype\(int\)"),
        ([(True, False)], "has the label True in row 0"),
        ([(b"a", b"b")], "has the label b'a' in row 0"),
        ([(2**70, 1)], "do not fit int64"),
        ([("a", "b"), ("c", "c")], "joins 'c' to itself in row 1"),
        (Graph([("a", "b")], directed=False), "undirected graph.*DiGraph"),
    ],
)
def test_bad_edges_are_named(edges, message):
    with pytest.raises(ValueError, match=message):
        check_edges(edges)
    if not isinstance(edges, list) or edges:
        with pytest.raises(ValueError, match=message):
            transitive_closure(edges)


def test_a_cycle_is_named():
    edges = [("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "top")]
    for call in (transitive_closure, hypernymy_split):
        with pytest.raises(ValueError, match=r"the cycle (a -> b -> c -> a)"):
            call(edges)
    ring = [(i, (i + 1) % 50) for i in range(50)]
    with pytest.raises(ValueError, match=r"0 -> 1 -> .* -> \.\.\. -> 49 -> 0,"):
        transitive_closure(ring)


@given(hierarchies, st.integers(0, 2**32 - 1))
def test_a_cycle_is_found_if_and_only_if_there_is_one(edges, seed):
    classes, index = check_edges(edges)
    check_acyclic(index, classes)
    ways = sorted(slow_ways(edges))
    node, ancestor = ways[np.random.default_rng(seed).integers(len(ways))]
    classes, index = check_edges([*edges, (ancestor, node)])
    with pytest.raises(ValueError, match="has the cycle") as info:
        check_acyclic(index, classes)
    cycle = str(info.value).partition("cycle ")[2].partition(",")[0].split(" -> ")
    assert cycle[0] == cycle[-1]
    if "..." not in cycle:
        steps = {(int(a), int(b)) for a, b in pairwise(cycle)}
        assert steps <= {*edges, (ancestor, node)}


def test_rows_are_checked():
    assert check_rows([(3, 0), (3, 0), (1, 0)], 4).tolist() == [[1, 0], [3, 0]]
    with pytest.raises(ValueError, match="edges must hold row numbers, got the label"):
        check_rows([("a", "b")], 4)
    with pytest.raises(ValueError, match="row number 4, but there are 4 rows"):
        check_rows([(4, 0)], 4)
    with pytest.raises(ValueError, match="row number -1"):
        check_rows([(-1, 0)], 4)


def test_the_mammals_are_those_of_the_published_counts():
    mammals = load_wordnet_mammals()
    names = mammals.names.tolist()
    assert len(mammals.edges) == len(set(map(tuple, mammals.edges))) == 1180
    assert sorted(names) == names
    assert len(set(names)) == 1180
    assert set(names) == set(mammals.edges.ravel())
    pairs = transitive_closure(mammals.edges)
    assert len(pairs) == 6540
    text = "\n".join(sorted("\t".join(pair) for pair in pairs))
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "5278b1a83755dcf6705f22ba0ec61824ab5485ab83f8930346742496ab72bc9b"
    )
    # One root, one node with two parents, 887 leaves, nine steps at most.
    parents = Counter(mammals.edges[:, 0])
    assert set(names) - set(parents) == {"mammal.n.01"}
    assert [node for node in parents if parents[node] > 1] == ["elephant.n.01"]
    assert len(set(names) - set(mammals.edges[:, 1])) == 887
    assert max(Counter(pairs[:, 0]).values()) == 9


def test_the_mammals_have_words_glosses_and_a_license():
    mammals = load_wordnet_mammals()
    assert len(mammals.lemmas) == len(mammals.glosses) == 1180
    for name, words, gloss in zip(
        mammals.names, mammals.lemmas, mammals.glosses, strict=True
    ):
        assert name.rpartition(".n.")[0] == words[0].lower()
        assert all(words)
        assert gloss.strip() == gloss != ""
    assert "1180" in mammals.DESCR
    license_text = _resource("wordnet_LICENSE.txt").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in license_text


HEADER = "  1 This is no WordNet 7.5, and starts like one.  \n"
# Eleven words in hexadecimal; two senses of one lemma; all kinds of pointers.
DATA = HEADER + (
    "00000010 03 n 01 entity 0 001 ~ 00000020 n 0000 | all there is  \n"
    "00000020 05 n 02 Dog 0 domestic_dog 1 003 @ 00000010 n 0000 "
    '+ 00000020 v 0101 ~ 00000030 n 0000 | a beast; "it | barks"  \n'
    "00000030 05 n 0b dog 1 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 003 "
    "@ 00000020 n 0000 @ 00000010 n 0000 #m 00000010 n 0000 | a dog's dog  \n"
    "00000040 18 n 01 Lassie 0 001 @i 00000030 n 0000 | a film star  \n"
)
INDEX = HEADER + (
    "dog n 2 3 @ ~ + 2 1 00000030 00000020  \n"
    "domestic_dog n 1 1 @ 1 0 00000020  \n"
    "entity n 1 1 ~ 1 0 00000010  \n"
    "lassie n 1 1 @i 1 0 00000040  \n"
)
NAMES = ["entity.n.01", "dog.n.02", "dog.n.01", "lassie.n.01"]
EDGES = [(1, 0), (2, 1), (2, 0), (3, 2)]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Folder and zip file of a database of four nouns that is taken for the real one.

    Nothing else is installed.
    """
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "data.noun").write_text(DATA)
    (folder / "index.noun").write_text(INDEX)
    packed = tmp_path / "source.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("wordnet/data.noun", DATA)
        archive.writestr("wordnet/index.noun", INDEX)
        archive.writestr("wordnet/data.verb", "")
    digest = _wndb.parse_nouns(DATA, INDEX).digest()
    monkeypatch.setattr(_wndb, "CONTENT", (4, digest))
    monkeypatch.setattr("skhyper.datasets._wordnet.installed", list)
    return folder, packed


@pytest.fixture
def serve(monkeypatch):
    """Function that makes the address of the archive answer with some bytes."""
    servers = []

    def start(body, expected, length=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/wordnet.zip"
        digest = hashlib.sha256(expected).hexdigest()
        monkeypatch.setattr(_wndb, "ARCHIVE", _download.Remote(url, digest))
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def is_tiny(nouns):
    """Tell whether this is the database of four nouns."""
    return (
        nouns.names.tolist() == NAMES
        and nouns.kinds.tolist() == ["h", "h", "h", "i"]
        and nouns.edges.tolist() == [[NAMES[a], NAMES[b]] for a, b in EDGES]
    )


def test_the_format_of_wordnet_is_read():
    nouns = _wndb.parse_nouns(DATA, INDEX)
    assert nouns.names == NAMES
    assert nouns.edges == EDGES
    assert nouns.kinds == ["h", "h", "h", "i"]
    assert nouns.lemmas[:2] == [("entity",), ("Dog", "domestic_dog")]
    assert nouns.lemmas[2] == ("dog", *"abcdefghij")
    assert nouns.glosses[1] == 'a beast; "it | barks"'


def test_nouns_are_read_from_a_folder_a_file_or_an_archive(tiny):
    folder, packed = tiny
    for path in (folder, str(folder), folder / "data.noun", packed):
        nouns = fetch_wordnet_nouns(path)
        assert is_tiny(nouns)
        assert nouns.edges.dtype == nouns.names.dtype == nouns.lemmas.dtype == object
        assert nouns.lemmas[1] == ("Dog", "domestic_dog")
        assert nouns.glosses[0] == "all there is"
        assert "82115" in nouns.DESCR


def test_other_versions_are_refused(tiny):
    folder, _ = tiny
    other = DATA.replace("@ 00000010 n 0000 #m", "#p 00000010 n 0000 #m")
    (folder / "data.noun").write_text(other)
    with pytest.raises(ValueError, match=r"not hold the nouns of.*itself WordNet 7.5"):
        fetch_wordnet_nouns(folder)
    (folder / "data.noun").write_text("of another kind\n")
    with pytest.raises(ValueError, match="not in the format of WordNet's database"):
        fetch_wordnet_nouns(folder)
    (folder / "data.noun").unlink()
    with pytest.raises(FileNotFoundError, match=r"not hold data.noun.*Give the folder"):
        fetch_wordnet_nouns(folder)
    with pytest.raises(FileNotFoundError, match=r"not hold data.noun and index.noun"):
        fetch_wordnet_nouns(folder / "nowhere")


def test_a_damaged_or_empty_archive_is_refused(tiny, tmp_path):
    _, packed = tiny
    damaged = bytearray(packed.read_bytes())
    damaged[60] ^= 255
    packed.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"not in the format.*CRC"):
        fetch_wordnet_nouns(packed)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("wordnet/data.verb", "")
    with pytest.raises(FileNotFoundError, match=r"not hold data.noun and index.noun"):
        fetch_wordnet_nouns(packed)


def test_installed_wordnet_comes_before_the_cache(tiny, tmp_path, monkeypatch):
    folder, _ = tiny
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.noun").write_text(HEADER)
    (other / "index.noun").write_text(HEADER)
    places = [other, folder]
    monkeypatch.setattr("skhyper.datasets._wordnet.installed", lambda: places)
    home = tmp_path / "home"
    found = fetch_wordnet_nouns(data_home=home, download_if_missing=False)
    assert is_tiny(found)
    places.pop()
    with pytest.raises(FileNotFoundError, match=r"not installed.*other does not hold"):
        fetch_wordnet_nouns(data_home=home, download_if_missing=False)


def test_installed_wordnet_is_found_where_nltk_puts_it(monkeypatch, tmp_path):
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "some"))
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    unpacked = tmp_path / "some" / "corpora" / "wordnet"
    packed = tmp_path / "nltk_data" / "corpora" / "wordnet.zip"
    unpacked.mkdir(parents=True)
    packed.parent.mkdir(parents=True)
    packed.touch()
    assert [p for p in _wndb.installed() if tmp_path in p.parents] == [unpacked, packed]


def test_a_download_is_kept(tiny, serve, tmp_path):
    _, packed = tiny
    body = packed.read_bytes()
    serve(body, expected=body)
    home = tmp_path / "home"
    assert is_tiny(fetch_wordnet_nouns(data_home=home))
    (kept,) = home.iterdir()
    assert kept.read_bytes() == body
    # From now on no server is needed.
    serve(b"", expected=body)
    assert is_tiny(fetch_wordnet_nouns(data_home=home))
    # What was damaged since is replaced.
    kept.write_bytes(body[:-50])
    with pytest.raises(FileNotFoundError, match="not installed"):
        fetch_wordnet_nouns(data_home=home, download_if_missing=False)
    serve(body, expected=body)
    assert is_tiny(fetch_wordnet_nouns(data_home=home))
    assert kept.read_bytes() == body


@pytest.mark.parametrize("cut", [False, True])
def test_a_wrong_download_leaves_nothing_behind(tiny, serve, tmp_path, cut):
    _, packed = tiny
    body = packed.read_bytes()
    url = serve(body[:-9] if cut else body + b"x", body, len(body) if cut else None)
    home = tmp_path / "home"
    with pytest.raises(OSError, match=f"{url}.*(damaged|downloaded).*wordnet-base"):
        fetch_wordnet_nouns(data_home=home)
    kept = ["wordnet-3.0.zip.part"] if cut else []
    assert [path.name for path in home.iterdir()] == kept


def test_no_network_is_told(tiny, serve, tmp_path, monkeypatch):
    home = tmp_path / "home"
    with pytest.raises(FileNotFoundError, match=r"download_if_missing=False.*as path"):
        fetch_wordnet_nouns(data_home=home, download_if_missing=False)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    url = f"http://127.0.0.1:{port}/wordnet.zip"
    monkeypatch.setattr(_wndb, "ARCHIVE", _download.Remote(url, "0" * 64))
    with pytest.raises(OSError, match=r"could not be downloaded: .*refused.*as path"):
        fetch_wordnet_nouns(data_home=home)
    assert list(home.iterdir()) == []


def test_the_nouns_have_the_published_counts():
    try:
        nouns = fetch_wordnet_nouns(download_if_missing=False)
    except FileNotFoundError:
        pytest.skip("WordNet 3.0 is not installed")
    assert len(nouns.names) == 82115
    assert len(nouns.edges) == 84427
    assert Counter(nouns.kinds.tolist()) == {"h": 75850, "i": 8577}
    assert len(transitive_closure(nouns.edges)) == 743241
    kinds = transitive_closure(nouns.edges[nouns.kinds == "h"])
    assert len(kinds) == 663508
    mammals = load_wordnet_mammals()
    above = dict(zip(nouns.names, nouns.glosses, strict=True))
    assert [above[name] for name in mammals.names] == mammals.glosses.tolist()
    pairs = set(map(tuple, nouns.edges))
    assert all(tuple(edge) in pairs for edge in mammals.edges)


KINDS = ["random", "direct"]


def as_set(pairs):
    return set(map(tuple, pairs.tolist()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_is_determined_by_its_seed(kind):
    edges = load_wordnet_mammals().edges
    one, two, other = (
        hypernymy_split(edges, kind=kind, random_state=seed) for seed in (0, 0, 1)
    )
    assert one.keys() == two.keys()
    assert_array_equal(one.train, two.train)
    assert_array_equal(one.test, two.test)
    assert as_set(one.test) != as_set(other.test)
    shuffled = hypernymy_split(edges[::-1], kind=kind, random_state=0)
    assert_array_equal(one.test, shuffled.test)


def test_a_random_split_parts_the_closure():
    edges = load_wordnet_mammals().edges
    for seed in range(3):
        split = hypernymy_split(edges, random_state=seed)
        train, test = as_set(split.train), as_set(split.test)
        assert train | test == as_set(transitive_closure(edges))
        assert not train & test
        assert len(test) + split.n_moved == 981


@given(hierarchies, st.floats(0.05, 0.95), st.integers(0, 99))
def test_both_nodes_of_a_test_pair_occur_in_train(edges, test_size, seed):
    for kind in KINDS:
        try:
            split = hypernymy_split(
                list(edges), kind=kind, test_size=test_size, random_state=seed
            )
        except (ValueError, UserWarning) as error:
            assert "test" in str(error)  # noqa: PT017
            continue
        train, test = as_set(split.train), as_set(split.test)
        assert set(split.test.ravel().tolist()) <= set(split.train.ravel().tolist())
        assert len(test) == len(split.test) >= 1
        if kind == "random":
            n_pairs = len(transitive_closure(list(edges)))
            assert len(test) + split.n_moved == round(test_size * n_pairs)
            assert len(train) + len(test) == n_pairs
        else:
            assert test <= edges
            assert len(test) == round(test_size * len(edges)) <= split.n_eligible
            # Composing train pairs gives train pairs, and no test pair is one.
            assert as_set(transitive_closure(split.train)) == train
            assert not train & test
            assert train <= as_set(transitive_closure(list(edges)))


def test_a_direct_split_of_the_mammals_does_not_leak():
    edges = load_wordnet_mammals().edges
    split = hypernymy_split(edges, kind="direct", random_state=0)
    assert len(split.test) == round(0.15 * 1180)
    assert not as_set(split.test) & as_set(transitive_closure(split.train))
    rest = np.array(sorted(as_set(edges) - as_set(split.test)), dtype=object)
    assert_array_equal(split.train, transitive_closure(rest))


def test_edges_that_follow_from_others_are_never_held_out():
    # A chain and its shortcuts: the shortcuts would stay in the closure of the rest.
    chain = [(i + 1, i) for i in range(20)]
    shortcuts = [(i + 2, i) for i in range(19)]
    for seed in range(5):
        split = hypernymy_split(
            chain + shortcuts, kind="direct", test_size=0.3, random_state=seed
        )
        assert as_set(split.test) <= set(chain)
        assert split.n_eligible == 20


def test_too_small_a_hierarchy_is_told():
    star = [(i, 0) for i in range(1, 9)]
    with pytest.raises(ValueError, match="leaves no pair to test with: of 8 edges"):
        hypernymy_split(star, kind="direct")
    with pytest.raises(ValueError, match=r"test_size=0.01 leaves no pair"):
        hypernymy_split(star, test_size=0.01)
    path = [(i + 1, i) for i in range(8)]
    with pytest.warns(UserWarning, match=r"Only \d of the 7 edges that test_size=0.9"):
        hypernymy_split(path, kind="direct", test_size=0.9, random_state=0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "leaf"}, "kind='leaf' must be 'random' or 'direct'"),
        ({"test_size": 0}, "test_size=0 must be a number between 0 and 1"),
        ({"test_size": 1.0}, "test_size=1.0 must be"),
        ({"test_size": "all"}, "test_size='all' must be"),
        ({"test_size": np.nan}, "test_size=nan must be"),
        ({"random_state": "x"}, "'x' cannot be used to seed"),
    ],
)
def test_bad_parameters_of_a_split_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        hypernymy_split([(1, 0), (2, 1), (3, 1)], **parameters)
