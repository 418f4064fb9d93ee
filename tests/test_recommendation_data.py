"""Downloads, the formats of Amazon and MovieLens, splits, and the generated store."""

import gzip
import hashlib
import itertools
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skhyper.datasets import _amazon, _download, _movielens, load_naics
from skhyper.datasets._amazon import fetch_amazon_reviews_2014
from skhyper.datasets._movielens import fetch_movielens
from skhyper.datasets._sequences import leave_one_out
from skhyper.datasets._store import make_store


class Site:
    """What a server on this machine holds, and what it was asked for."""

    def __init__(self):
        self.files = {}
        self.ranges = True
        self.cuts = []  # bytes after which the next connections break off
        self.asked = []
        self.root = ""

    def answer(self, name, wanted):
        """Return status, headers and content."""
        self.asked.append((name, wanted))
        body = self.files.get(name)
        if body is None:
            return 404, {}, b""
        start = int(wanted[len("bytes=") : -1]) if wanted and self.ranges else 0
        if start and start >= len(body):
            return 416, {"Content-Range": f"bytes */{len(body)}"}, b""
        sent = {"Content-Length": len(body) - start}
        if start:
            sent["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        content = body[start:]
        if self.cuts:
            content = content[: self.cuts.pop(0)]
        return (206 if start else 200), sent, content


@pytest.fixture
def site():
    """A server on this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, sent, content = site.answer(self.path[1:], self.headers["Range"])
            self.send_response(status)
            for key, value in sent.items():
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    site.root = f"http://127.0.0.1:{server.server_port}/"
    yield site
    server.shutdown()
    server.server_close()


BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def remote(site):
    """A file on the server."""
    site.files["a.bin"] = BODY
    return _download.Remote(f"{site.root}a.bin", SHA256)


def get(remote, folder, download_if_missing=True):
    return _download.cached(remote, folder, download_if_missing, "give it as path")


def test_a_file_is_downloaded_once(site, remote, tmp_path):
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        path = get(remote, folder)
        assert path == folder / "a.bin"
        assert path.read_bytes() == BODY
        assert list(folder.iterdir()) == [path]
    assert site.asked == [("a.bin", None)]


def test_without_download_a_missing_file_is_told(site, remote, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"a.bin does not exist, and .*give it as path"
    ):
        get(remote, tmp_path, download_if_missing=False)
    assert site.asked == []


def test_a_broken_connection_is_resumed_in_the_same_call(site, remote, tmp_path):
    site.cuts = [100, 50, 1]
    assert get(remote, tmp_path).read_bytes() == BODY
    ranges = [None, "bytes=100-", "bytes=150-", "bytes=151-"]
    assert site.asked == [("a.bin", wanted) for wanted in ranges]


def test_what_came_is_kept_for_the_next_call(site, remote, tmp_path):
    site.cuts = [100, 0]
    with pytest.raises(OSError, match=r"broke off.*100 bytes in .*a.bin.part are kept"):
        get(remote, tmp_path)
    (part,) = tmp_path.iterdir()
    assert part.read_bytes() == BODY[:100]
    site.asked.clear()
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.asked == [("a.bin", "bytes=100-")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_server_that_always_breaks_off_is_left_alone_in_the_end(
    site, remote, tmp_path
):
    site.cuts = [1] * 99
    with pytest.raises(OSError, match="could not be downloaded: the connection broke"):
        get(remote, tmp_path)
    assert len(site.asked) == _download.TRIES
    assert (tmp_path / "a.bin.part").stat().st_size == _download.TRIES


def test_a_server_without_ranges_starts_anew(site, remote, tmp_path):
    site.ranges = False
    site.cuts = [100]
    assert get(remote, tmp_path).read_bytes() == BODY
    # Pieces that do not grow end it.
    site.cuts = [100, 100, 100]
    with pytest.raises(OSError, match="broke off"):
        get(remote, tmp_path / "other")
    assert len(site.cuts) == 1


def test_a_part_that_is_already_whole_is_taken(site, remote, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert get(remote, tmp_path).read_bytes() == BODY
    assert site.asked == [("a.bin", f"bytes={len(BODY)}-")]


@pytest.mark.parametrize("start", [b"x" * 7, BODY + b"x"], ids=["other", "longer"])
def test_a_part_of_another_file_is_thrown_away(site, remote, tmp_path, start):
    (tmp_path / "a.bin.part").write_bytes(start)
    with pytest.raises(OSError, match=r"SHA-256.*damaged or has changed.*as path"):
        get(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert get(remote, tmp_path).read_bytes() == BODY


def test_a_wrong_file_leaves_nothing_behind(site, remote, tmp_path):
    site.files["a.bin"] = BODY[:-1] + b"x"
    with pytest.raises(OSError, match=rf"{remote.url} has the SHA-256 .* not {SHA256}"):
        get(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [b"<html>Log in</html>", gzip.compress(BODY)[:-9], b""],
    ids=["page", "cut", "empty"],
)
def test_without_a_checksum_gzip_is_asked(site, tmp_path, body):
    remote = _download.Remote(f"{site.root}a.gz", None)
    site.files["a.gz"] = body
    with pytest.raises(OSError, match=r"is (no whole gzip file|empty).*damaged"):
        get(remote, tmp_path)
    assert list(tmp_path.iterdir()) == []
    site.files["a.gz"] = gzip.compress(BODY)
    assert gzip.decompress(get(remote, tmp_path).read_bytes()) == BODY


def test_no_file_and_no_network_are_told(site, tmp_path):
    with pytest.raises(OSError, match="HTTP Error 404"):
        get(_download.Remote(f"{site.root}b.bin", SHA256), tmp_path)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    with pytest.raises(
        OSError, match=r"not be downloaded: .*refused.* give it as path"
    ):
        get(_download.Remote(f"http://127.0.0.1:{port}/a.bin", SHA256), tmp_path)
    assert list(tmp_path.iterdir()) == []


DAY = 86400
# user, item, day, stars: in the order of items, as the source has them
EVENTS = [
    ("ann", "B001", 5, 4),
    ("bob", "B001", 2, 1),
    ("ann", "B002", 3, 5),
    ("ann", "B003", 5, 2),
    ("bob", "B004", 1, 3),
    ("ann", "B004", 4, 5),
]
PRODUCTS = [
    {
        "asin": "B002",
        "title": 'It\'s "soap" & foam',
        "brand": "Clean\u00e9",
        "price": 3.5,
        "categories": [["Beauty", "Bath"], ["Beauty"]],
        "related": {"also_bought": ["B001", "B999"]},
    },
    {"asin": "B999", "title": "nobody's"},
    {"asin": "B001", "description": "a comb", "title": None},
    {"asin": "B004", "price": 1},
]


def review(user, item, day, stars):
    return json.dumps(
        {
            "reviewerID": user,
            "asin": item,
            "helpful": [0, 1],
            "reviewText": 'Its "text"\u2028 is long.',
            "overall": float(stars),
            "unixReviewTime": day * DAY,
        }
    )


def packed(lines):
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Folder with the files of a category of six reviews."""
    monkeypatch.setitem(_amazon.COUNTS, "Baby", (2, 4, 6))
    folder = tmp_path / "shop"
    folder.mkdir()
    lines = [review(*event) for event in EVENTS]
    (folder / "reviews_Baby_5.json.gz").write_bytes(
        packed([*lines[:3], "", *lines[3:]])
    )
    (folder / "meta_Baby.json.gz").write_bytes(packed(map(repr, PRODUCTS)))
    return folder


def rewrite(shop, stem, lines):
    (shop / f"{stem}.json.gz").write_bytes(packed(lines))


def test_reviews_are_read_by_user_and_time(shop):
    data = fetch_amazon_reviews_2014("Baby", path=shop)
    assert data.user_ids.tolist() == ["ann", "bob"]
    assert data.item_ids.tolist() == ["B001", "B002", "B003", "B004"]
    # Day 5 has two items: they stay in the order of the file.
    assert [row.tolist() for row in data.sequences] == [
        ["B002", "B004", "B001", "B003"],
        ["B004", "B001"],
    ]
    days = [[3, 4, 5, 5], [1, 2]]
    assert [(row // DAY).tolist() for row in data.timestamps] == days
    assert [row.tolist() for row in data.ratings] == [[5, 5, 4, 2], [3, 1]]
    assert {row.dtype for row in data.sequences} == {np.dtype(object)}
    assert {row.dtype for row in data.timestamps} == {np.dtype(np.int64)}
    assert leave_one_out(data.sequences, data.timestamps).n_ambiguous == 1
    assert "198502" in data.DESCR


def test_products_are_read_as_literals(shop):
    data = fetch_amazon_reviews_2014("Baby", path=str(shop))
    assert data.titles.tolist() == ["", 'It\'s "soap" & foam', "", ""]
    assert data.brands.tolist() == ["", "Clean\u00e9", "", ""]
    assert data.descriptions.tolist() == ["a comb", "", "", ""]
    assert data.categories.tolist() == [(), (("Beauty", "Bath"), ("Beauty",)), (), ()]
    assert_array_equal(data.prices, [np.nan, 3.5, np.nan, 1.0])


def test_reviews_are_downloaded_and_kept(shop, site, tmp_path, monkeypatch):
    monkeypatch.setattr(_amazon, "ROOT", site.root)
    for file in shop.iterdir():
        site.files[file.name] = file.read_bytes()
    home = tmp_path / "home"
    site.cuts = [40]
    for _ in range(2):
        data = fetch_amazon_reviews_2014("Baby", data_home=home)
        assert data.user_ids.tolist() == ["ann", "bob"]
    asked = ["reviews_Baby_5.json.gz"] * 2 + ["meta_Baby.json.gz"]
    assert [name for name, _ in site.asked] == asked
    assert sorted(file.name for file in home.rglob("*.gz")) == sorted(set(asked))
    monkeypatch.setitem(_amazon.SHA256, "meta_Baby.json.gz", "0" * 64)
    with pytest.raises(OSError, match=r"SHA-256.*folder of reviews_Baby.*as path"):
        fetch_amazon_reviews_2014("Baby", data_home=tmp_path / "else")


def test_the_addresses_are_those_of_the_source(tmp_path, monkeypatch):
    asked = []

    def refuse(remote, folder, download_if_missing, remedy):
        asked.append(remote)
        raise FileNotFoundError

    for module in (_amazon, _movielens):
        monkeypatch.setattr(module, "cached", refuse)
    for fetch, name in [
        (fetch_amazon_reviews_2014, "Beauty"),
        (fetch_amazon_reviews_2014, "Video_Games"),
        (fetch_movielens, "10m"),
    ]:
        with pytest.raises(FileNotFoundError):
            fetch(name, data_home=tmp_path)
    snap = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
    lens = "https://files.grouplens.org/datasets/movielens"
    assert [remote.url for remote in asked] == [
        f"{snap}/reviews_Beauty_5.json.gz",
        f"{snap}/reviews_Video_Games_5.json.gz",
        f"{lens}/ml-10m.zip",
    ]
    assert [bool(remote.sha256) for remote in asked] == [True, False, True]
    known = [
        *_amazon.SHA256.values(),
        *(v.remote.sha256 for v in _movielens.VERSIONS.values()),
    ]
    assert all(len(bytes.fromhex(digest)) == 32 for digest in known)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'reviewerID': 'ann'}", "Line 2 of .*JSONDecodeError"),
        ('{"reviewerID": "ann", "asin": "B1"}', "Line 2 .*KeyError.'unixReviewTime"),
        ('["ann"]', "Line 2 .*not a review in JSON"),
        (review(7, "B1", 0, 1), "Line 2 .*reviewerID=7"),
        (review("ann", "", 0, 1), "Line 2 .*asin=''"),
        (review("ann", "B1", 0, 1).replace("1.0", '"good"'), "Line 2 .*'good'"),
    ],
)
def test_a_line_that_is_no_review_is_named(shop, line, message):
    rewrite(shop, "reviews_Baby_5", [review(*EVENTS[0]), line])
    with pytest.raises(ValueError, match=message):
        fetch_amazon_reviews_2014("Baby", path=shop)


@pytest.mark.parametrize(
    "line",
    [
        "{'asin': 'B001', 'title': open('/dev/null')}",
        "{'asin': 'B001', 'price': 'cheap'}",
        "{'asin': 'B001', 'categories': 3}",
        "{'asin': 'B001', 'title': 'half",
        "{'title': 'nameless'}",
        "B001,comb,3.50",
        "'B001'",
        "[" * 500 + "'asin': 'B001'",
    ],
)
def test_a_line_that_is_no_product_is_named(shop, line):
    rewrite(shop, "meta_Baby", [repr(PRODUCTS[0]), line])
    with pytest.raises(ValueError, match=r"Line 2 of .*meta_Baby.* is not a product"):
        fetch_amazon_reviews_2014("Baby", path=shop)


def test_products_are_never_run(shop, tmp_path):
    mark = tmp_path / "mark"
    touch = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    rewrite(shop, "meta_Baby", [f"{{'asin': 'B001', 'title': {touch}}}"])
    with pytest.raises(ValueError, match="Line 1 of"):
        fetch_amazon_reviews_2014("Baby", path=shop)
    assert not mark.exists()


def test_products_of_another_category_are_refused(shop):
    rewrite(shop, "meta_Baby", [repr(PRODUCTS[1])])
    with pytest.raises(ValueError, match="has none of the 4 reviewed products"):
        fetch_amazon_reviews_2014("Baby", path=shop)


@pytest.mark.parametrize("stem", ["reviews_Baby_5", "meta_Baby"])
def test_a_damaged_file_is_told(shop, stem):
    file = shop / f"{stem}.json.gz"
    whole = file.read_bytes()
    for damaged in (whole[:-9], whole[:-8] + b"0000" + whole[-4:], b"no gzip"):
        file.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=rf"{stem}.*damaged after line \d+.*Delete"
        ):
            fetch_amazon_reviews_2014("Baby", path=shop)
    file.write_bytes(gzip.compress(b"\n\xff\n"))
    with pytest.raises(ValueError, match="damaged after line"):
        fetch_amazon_reviews_2014("Baby", path=shop)


def test_another_edition_of_the_reviews_is_refused(shop):
    rewrite(shop, "reviews_Baby_5", [review(*event) for event in EVENTS[:4]])
    with pytest.raises(
        ValueError, match=r"2 users, 3 items and 4 reviews, where 2, 4 and 6 .* Baby"
    ):
        fetch_amazon_reviews_2014("Baby", path=shop)
    rewrite(shop, "reviews_Baby_5", [""])
    with pytest.raises(ValueError, match="has no reviews"):
        fetch_amazon_reviews_2014("Baby", path=shop)


def test_files_that_are_not_there_are_told(shop, tmp_path):
    with pytest.raises(ValueError, match=r"category='Baubles' is none of .*Beauty"):
        fetch_amazon_reviews_2014("Baubles")
    with pytest.raises(FileNotFoundError, match=r"not hold reviews_Beauty_5.json.gz"):
        fetch_amazon_reviews_2014(path=shop)
    (shop / "meta_Baby.json.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"not hold meta_Baby.json.gz. Give"):
        fetch_amazon_reviews_2014("Baby", path=shop)
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_amazon_reviews_2014(data_home=tmp_path, download_if_missing=False)


RATINGS = [(1, 30, 4.0, 9), (1, 10, 0.5, 7), (1, 20, 3.5, 9), (2, 30, 5.0, 1)]
CSV = {
    "ratings": [
        "userId,movieId,rating,timestamp",
        *(",".join(map(str, rating)) for rating in RATINGS),
    ],
    "movies": [
        "movieId,title,genres",
        "10,Plain (1990),Comedy|Drama",
        '20,"Comma, The ""Film"" (1991)",Drama',
        "25,Unseen (1992),War",
        "30,\u00c9t\u00e9 (1993),(no genres listed)",
    ],
}
DAT = {
    "ratings": ["::".join(map(str, rating)) for rating in RATINGS],
    "movies": [
        "10::Plain (1990)::Comedy|Drama",
        '20::Comma, The "Film" (1991)::Drama',
        "25::Unseen (1992)::War",
        "30::\u00c9t\u00e9 (1993)::(no genres listed)",
    ],
}
FILES = {"latest-small": CSV, "10m": DAT}


def write_films(folder, version, **changed):
    """Write the two files, some of them with other lines."""
    folder.mkdir(exist_ok=True)
    for stem, lines in {**FILES[version], **changed}.items():
        text = "".join(f"{line}\r\n" for line in lines)
        file = folder / f"{stem}{_movielens.VERSIONS[version].suffix}"
        file.write_bytes(text.encode())
    return folder


def zip_films(folder, version):
    """Return a zip file of the folder, with another file before the others."""
    target = folder.with_suffix(".zip")
    inside = _movielens.VERSIONS[version].folder
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{inside}/README", "terms of use")
        for file in folder.iterdir():
            archive.write(file, f"{inside}/{file.name}")
    return target


def check_films(data):
    assert data.user_ids.tolist() == [1, 2]
    assert data.item_ids.tolist() == [10, 20, 30]
    # Time 9 has two films: they stay in the order of the file.
    assert [row.tolist() for row in data.sequences] == [[10, 30, 20], [30]]
    assert [row.tolist() for row in data.timestamps] == [[7, 9, 9], [1]]
    assert [row.tolist() for row in data.ratings] == [[0.5, 4.0, 3.5], [5.0]]
    assert data.titles.tolist() == [
        "Plain (1990)",
        'Comma, The "Film" (1991)',
        "\u00c9t\u00e9 (1993)",
    ]
    assert data.genres.tolist() == [("Comedy", "Drama"), ("Drama",), ()]
    assert {row.dtype for row in (data.item_ids, *data.sequences)} == {
        np.dtype(np.int64)
    }
    assert "10000054" in data.DESCR


@pytest.mark.parametrize("version", FILES)
def test_films_are_read_from_a_folder_or_an_archive(tmp_path, version):
    folder = write_films(tmp_path / "films", version)
    check_films(fetch_movielens(version, path=folder))
    check_films(fetch_movielens(version, path=str(zip_films(folder, version))))


@pytest.mark.parametrize("version", FILES)
def test_films_are_downloaded_and_kept(tmp_path, site, monkeypatch, version):
    edition = _movielens.VERSIONS[version]
    body = zip_films(write_films(tmp_path / "films", version), version).read_bytes()
    site.files[edition.remote.name] = body
    remote = _download.Remote(
        f"{site.root}{edition.remote.name}", hashlib.sha256(body).hexdigest()
    )
    local = edition._replace(remote=remote)
    monkeypatch.setitem(_movielens.VERSIONS, version, local)
    site.cuts = [len(body) // 2]
    for _ in range(2):
        check_films(fetch_movielens(version, data_home=tmp_path / "home"))
    assert len(site.asked) == 2
    (kept,) = (tmp_path / "home" / "movielens").iterdir()
    assert kept.name == edition.remote.name
    changed = local._replace(remote=remote._replace(sha256="0" * 64))
    monkeypatch.setitem(_movielens.VERSIONS, version, changed)
    with pytest.raises(OSError, match=r"damaged or has changed.*ml-.*as path"):
        fetch_movielens(version, data_home=tmp_path / "else")


@pytest.mark.parametrize(
    ("version", "stem", "line", "message"),
    [
        ("latest-small", "ratings", "1,2,3", "Line 6 of the ratings"),
        ("latest-small", "ratings", "1,2,good,4", "Line 6 of the ratings .*'good'"),
        ("latest-small", "ratings", f"1,{2**63},3,4", "Line 6 of the ratings"),
        ("latest-small", "movies", "7,title", "Line 6 of the films"),
        ("latest-small", "movies", "x,title,War", "Line 6 of the films .*'x'"),
        ("10m", "ratings", "1,2,3,4", "Line 5 of the ratings"),
        ("10m", "ratings", "1::a::3::4", "Line 5 of the ratings .*'a'"),
        ("10m", "movies", "7::a::b::c", "Line 5 of the films"),
        ("10m", "ratings", "1::99::3::4", "ratings of 1 films .* such as 99"),
    ],
)
def test_a_line_that_is_no_rating_or_film_is_named(
    tmp_path, version, stem, line, message
):
    changed = {stem: [*FILES[version][stem], line]}
    folder = write_films(tmp_path / "films", version, **changed)
    for path in (folder, zip_films(folder, version)):
        with pytest.raises(ValueError, match=message):
            fetch_movielens(version, path=path)


def test_damaged_or_missing_films_are_told(tmp_path):
    folder = write_films(tmp_path / "films", "10m")
    packed_films = zip_films(folder, "10m")
    whole = packed_films.read_bytes()
    content = whole.index(b"ratings.dat") + len(b"ratings.dat") + 3
    changed = whole[:content] + b"\x55\xaa\x55" + whole[content + 3 :]
    for damaged in (whole[:-30], b"<html>", changed):
        packed_films.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"films.zip is damaged: .*Delete it"):
            fetch_movielens("10m", path=packed_films)
    (folder / "movies.dat").write_bytes(b"\xff::a::b\n")
    with pytest.raises(ValueError, match=r"films is damaged"):
        fetch_movielens("10m", path=folder)
    with pytest.raises(FileNotFoundError, match=r"hold ratings.csv. Give ml-latest"):
        fetch_movielens(path=folder)
    with pytest.raises(FileNotFoundError, match=r"hold ratings.dat"):
        fetch_movielens("10m", path=tmp_path / "nowhere")
    (folder / "ratings.dat").write_text("")
    with pytest.raises(ValueError, match="has no ratings"):
        fetch_movielens("10m", path=folder)
    with pytest.raises(ValueError, match="version='1m' is none of these: latest-small"):
        fetch_movielens("1m")
    with pytest.raises(FileNotFoundError, match="download_if_missing=False"):
        fetch_movielens(data_home=tmp_path, download_if_missing=False)


items = st.integers(0, 3)
events = st.lists(st.tuples(items, st.integers(0, 2)), max_size=5)


def orders(events):
    """Every order of a user's events in which time does not fall."""
    for order in itertools.permutations(events):
        if all(a[1] <= b[1] for a, b in itertools.pairwise(order)):
            yield [item for item, _ in order]


@given(st.lists(events, min_size=1, max_size=4), st.integers(3, 4), st.booleans())
def test_a_split_puts_the_sequences_together_again(users, min_length, as_text):
    users = [sorted(user, key=lambda event: event[1]) for user in users]
    name = str if as_text else int
    sequences = [[name(item) for item, _ in user] for user in users]
    times = [[time for _, time in user] for user in users]
    if max(map(len, sequences)) < min_length:
        with pytest.raises(ValueError, match=f"min_length={min_length} events"):
            leave_one_out(sequences, min_length=min_length)
        return
    split = leave_one_out(sequences, times, min_length=min_length)
    assert sorted([*split.users, *split.left_out]) == list(range(len(sequences)))
    assert all(len(sequences[user]) < min_length for user in split.left_out)
    for at, user in enumerate(split.users):
        *train, validation, test = sequences[user]
        assert len(train) + 2 >= min_length
        assert split.train[at].tolist() == train
        assert split.validation_histories[at].tolist() == train
        assert split.validation_targets[at] == validation
        assert split.test_histories[at].tolist() == [*train, validation]
        assert split.test_targets[at] == test
        possible = list(orders(users[user]))
        for name, place in (("validation", -2), ("test", -1)):
            targets = {order[place] for order in possible}
            assert split[f"{name}_ambiguous"][at] == (len(targets) > 1)
    assert split.n_ambiguous == split.test_ambiguous.sum()
    kind = np.dtype(object if as_text else np.int64)
    kinds = {split.validation_targets.dtype, split.test_targets.dtype}
    assert kinds | {row.dtype for row in split.train} == {kind}


def test_a_split_takes_arrays_of_any_kind():
    expected = leave_one_out([["a", "b", "c"], ["b", "c", "d"]])
    for rows in (
        np.array([["a", "b", "c"], ["b", "c", "d"]]),
        np.array([["a", "b", "c"], ["b", "c", "d"]], dtype=object),
        iter([("a", "b", "c"), np.array(["b", "c", "d"])]),
    ):
        split = leave_one_out(rows)
        assert_array_equal(split.test_targets, expected.test_targets)
        assert split.test_targets.dtype == object
        assert type(split.test_targets[0]) is str
    assert "n_ambiguous" not in expected
    small = leave_one_out(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert small.test_targets.dtype == np.int64
    days = np.array([["2014-07-01", "2014-07-02", "2014-07-02"]] * 2, "datetime64[D]")
    assert leave_one_out(np.arange(6).reshape(2, 3), days).n_ambiguous == 2


def test_a_split_does_not_share_memory_with_its_input():
    given_rows = [np.array([1, 2, 3]), np.array(["a"], dtype=object)[:0]]
    split = leave_one_out(given_rows)
    given_rows[0][:] = 9
    assert split.train[0].tolist() == [1]
    assert split.test_histories[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "None of the 0 sequences has min_length=3"),
        ([[1, 2], []], "None of the 2 sequences .* longest has 2"),
        (["abc", "def"], r"sequences\[0\] must list item ids, .* 'abc'"),
        ([1, 2, 3], r"sequences\[0\] must list item ids"),
        ([[1, 2, 3], [1, "a", 2]], r"sequences\[1\] must list"),
        ([[1, 2, 3], [1.0, 2.0, 3.0]], r"sequences\[1\] must list"),
        ([[True, False, True]], r"sequences\[0\] must list"),
        ([[1, 2, None]], r"sequences\[0\] must list"),
        ([np.ones((3, 3), dtype=int)], r"sequences\[0\] must list"),
        ([[1, 2, 3], [], ["a", "b"]], r"\[0\] and sequences\[2\] mix strings"),
    ],
)
def test_bad_sequences_are_named(sequences, message):
    with pytest.raises(ValueError, match=message):
        leave_one_out(sequences)


@pytest.mark.parametrize(
    ("timestamps", "message"),
    [
        ([[1, 2, 3]], "timestamps are for 1 users, and sequences for 2"),
        ([[1, 2, 3], [1]], r"timestamps\[1\] has shape \(1,\), and .* 2 items"),
        ([[1, 3, 2], [1, 1]], r"timestamps\[0\] falls or is missing"),
        ([[1, np.nan, 2], [1, 1]], r"timestamps\[0\] falls or is missing"),
    ],
)
def test_bad_timestamps_are_named(timestamps, message):
    with pytest.raises(ValueError, match=message):
        leave_one_out([[1, 2, 3], [4, 5]], timestamps)


def test_bad_lengths_are_named():
    with pytest.raises(ValueError, match="min_length == 2, must be >= 3"):
        leave_one_out([[1, 2, 3]], min_length=2)
    with pytest.raises(TypeError, match="min_length must be an instance"):
        leave_one_out([[1, 2, 3]], min_length=3.0)
    for name, value in (
        ("n_users", 0),
        ("sequence_length", 1),
        ("sequence_length", 101),
    ):
        with pytest.raises(ValueError, match=f"{name} == {value}"):
            make_store(**{name: value})
    with pytest.raises(TypeError, match="n_users must be an instance"):
        make_store(2.5)


@pytest.fixture(scope="module")
def store():
    """A store with many users."""
    return make_store(2000, random_state=0)


def rows_of(store, sequences):
    """Rows of the items."""
    row = {item: at for at, item in enumerate(store.item_ids)}
    return [np.array([row[item] for item in sequence]) for sequence in sequences]


def test_a_store_is_determined_by_its_seed(store):
    state = np.random.get_state()[1].copy()
    again = make_store(2000, random_state=np.random.RandomState(0))
    assert_array_equal(np.random.get_state()[1], state)
    assert all(map(np.array_equal, store.sequences, again.sequences))
    assert_array_equal(store.next_group, again.next_group)
    other = make_store(2000, random_state=1)
    assert not all(map(np.array_equal, store.sequences, other.sequences))
    assert not np.array_equal(store.popularity, other.popularity)


def test_a_store_has_the_parts_documented(store):
    naics = load_naics()
    assert_array_equal(store.item_ids, naics.codes)
    assert sorted(store.item_ids) == store.item_ids.tolist()
    assert_array_equal(store.data, naics.data)
    assert_array_equal(store.target, naics.target)
    assert_array_equal(store.titles, naics.titles)
    weights = np.sort(store.popularity)[::-1] / store.popularity.max()
    np.testing.assert_allclose(weights, np.arange(1, 1013) ** -0.7)
    assert store.popularity.sum() == pytest.approx(1)
    lengths = np.array([len(row) for row in store.sequences])
    assert len(lengths) == 2000
    assert set(lengths) == set(range(6, 19))
    assert lengths.mean() == pytest.approx(12, abs=0.3)
    assert {row.dtype for row in store.sequences} == {np.dtype(object)}
    assert all(len(set(row)) == len(row) for row in store.sequences)
    single = make_store(1, sequence_length=2, random_state=0)
    assert 1 <= len(single.sequences[0]) <= 3
    longest = make_store(3, sequence_length=100, random_state=0).sequences
    assert all(len(set(row)) == len(row) >= 50 for row in longest)


def test_groups_follow_one_another_on_a_circle(store):
    groups, rows = np.unique(store.target[:, 2], return_index=True)
    sectors = store.target[rows, 0]
    assert sorted(store.next_group) == groups.tolist()
    assert_array_equal(sectors[store.next_group], sectors)
    for sector in set(sectors):
        (members,) = np.nonzero(sectors == sector)
        walk = [members[0]]
        while store.next_group[walk[-1]] != members[0]:
            walk.append(store.next_group[walk[-1]])
        assert sorted(walk) == members.tolist()


def slow_walk(store, length, random):
    """One user, by the words of the documentation."""
    n_items = len(store.item_ids)
    everything = np.zeros(n_items, dtype=np.int64)
    labels = [everything, *store.target.T[:3]]
    walk = [random.choice(n_items, p=store.popularity)]
    while len(walk) < length:
        if random.uniform() < 0.5:
            group = store.next_group[store.target[walk[-1], 2]]
            about, level = np.flatnonzero(store.target[:, 2] == group)[0], 3
        else:
            about = walk[0] if random.uniform() < 0.5 else walk[-1]
            level = random.choice([3, 2, 1, 0], p=[0.4, 0.3, 0.2, 0.1])
        while True:
            inside = labels[level] == labels[level][about]
            weight = store.popularity * inside
            item = random.choice(n_items, p=weight / weight.sum())
            if item not in walk:
                break
            level = max(level - 1, 0)
        walk.append(item)
    return np.array(walk)


def shares(store, walks):
    """How often a step stays in a part of the tree, follows, or comes home."""
    here = np.concatenate([walk[:-1] for walk in walks])
    there = np.concatenate([walk[1:] for walk in walks])
    home = np.concatenate([np.repeat(walk[0], len(walk) - 1) for walk in walks])
    target = store.target
    follows = target[there, 2] == store.next_group[target[here, 2]]
    stays = target[here, :3] == target[there, :3]
    returns = target[home, :3] == target[there, :3]
    popular = store.popularity[there] > np.quantile(store.popularity, 0.9)
    return np.array([follows.mean(), popular.mean(), *stays.mean(0), *returns.mean(0)])


def test_users_walk_as_documented(store):
    random = np.random.RandomState(0)
    slow = shares(store, [slow_walk(store, 12, random) for _ in range(500)])
    full = [walk[:12] for walk in rows_of(store, store.sequences) if len(walk) >= 12]
    fast = shares(store, full)
    # 5500 steps: a share has a standard error of 0.007 at most, or twice that within
    # walks.
    np.testing.assert_allclose(fast, slow, atol=0.035)
    assert fast[0] > 0.4


def test_order_tells_more_than_popularity(store):
    split = leave_one_out(store.sequences)
    assert len(split.users) == 2000
    train = rows_of(store, split.train)
    histories = rows_of(store, split.test_histories)
    targets = np.concatenate(rows_of(store, split.test_targets[:, None]))
    popularity = np.bincount(np.concatenate(train), minlength=1012)
    here = np.concatenate([walk[:-1] for walk in train])
    there = np.concatenate([walk[1:] for walk in train])
    steps = np.zeros((1012, 1012))
    np.add.at(steps, (here, there), 1.0)
    groups = store.target[:, 2]
    by_group = np.zeros((308, 1012))
    np.add.at(by_group, (groups[here], there), 1.0)

    def recall(scores):
        hits = 0
        for history, target, row in zip(histories, targets, scores, strict=True):
            row = np.where(np.isin(np.arange(1012), history), -1.0, row)
            hits += target in np.argsort(-row, kind="stable")[:10]
        return hits / len(targets)

    last = np.array([history[-1] for history in histories])
    popular = recall(np.broadcast_to(popularity, (2000, 1012)))
    markov = recall(steps[last] + 1e-6 * popularity)
    pooled = recall(by_group[groups[last]] + 1e-6 * popularity)
    assert 0.03 < popular < 0.1
    assert markov > 4 * popular
    assert pooled > markov + 0.03
