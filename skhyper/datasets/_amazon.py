"""Reviews of products by users in the order of time: Amazon, 1996 to 2014."""

from __future__ import annotations

import ast
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from skhyper.datasets._download import Remote, cached
from skhyper.datasets._naics import _resource
from skhyper.datasets._sequences import by_user
from skhyper.datasets._wordnet import _objects

ROOT = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
# The source publishes no checksums. These of Beauty are what users of it wrote down.
SHA256 = {
    "reviews_Beauty_5.json.gz": (
        "e5925ec99023f1dc9c7d3dff7ef34cfeacd40d1b981b5525e1e4ba9c8abc18fe"
    ),
    "meta_Beauty.json.gz": (
        "c7977dc0e0ead14ac7df8c1c6de74da00e4bebfad87a0f0c5763d4c5bc9b53a0"
    ),
}
# Users, items and reviews, as papers state them.
COUNTS = {
    "Beauty": (22363, 12101, 198502),
    "Sports_and_Outdoors": (35598, 18357, 296337),
    "Toys_and_Games": (19412, 11924, 167597),
}
CATEGORIES = (
    *("Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty"),
    *("Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics"),
    *("Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Kindle_Store", "Movies_and_TV", "Musical_Instruments", "Office_Products"),
    *("Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors"),
    *("Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games"),
)
# What `ast.literal_eval` raises, and what comes of an entry of another make.
UNREADABLE = (
    *(ValueError, SyntaxError, TypeError, MemoryError, RecursionError),
    *(LookupError, AttributeError),
)
ASIN = re.compile(r"""['"]asin['"]: *['"](\w+)['"]""")


def fetch_amazon_reviews_2014(
    category: str = "Beauty",
    *,
    data_home: str | PathLike[str] | None = None,
    path: str | PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the Amazon reviews of 2014 of one category (download if necessary).

    ===================   ======   ======   =======
    category              users    items    reviews
    ===================   ======   ======   =======
    Beauty                 22363    12101    198502
    Sports_and_Outdoors    35598    18357    296337
    Toys_and_Games         19412    11924    167597
    ===================   ======   ======   =======

    These are the "5-core" reviews [1]_ from May 1996 to July 2014: each of the users
    and of the items left has at least five.

    Parameters
    ----------
    category : str, default="Beauty"
        Name of the category as in the names of the files, such as "Video_Games".
    data_home : str or path-like, default=None
        Folder for downloads; None is that of `sklearn.datasets.get_data_home`,
        ``~/scikit_learn_data`` if nothing else is set.
    path : str or path-like, default=None
        Folder that holds the files of the category, ``reviews_Beauty_5.json.gz`` and
        ``meta_Beauty.json.gz``. None looks in `data_home`.
    download_if_missing : bool, default=True
        Whether to download the files where they are not in `data_home`, for Beauty
        140 MB. A download that breaks off goes on at the next call. `path` is never
        filled by a download.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        sequences : list of n_users ndarrays, str objects
            Ids of the items that each user reviewed, in the order of time. Time is the
            day; within a day the order is that of the file, which runs by item.
        timestamps : list of n_users ndarrays, int64
            Time of each review in seconds since 1970.
        ratings : list of n_users ndarrays, float64
            Stars of each review, from 1 to 5.
        user_ids : ndarray of shape (n_users,), str objects
            The users, sorted.
        item_ids : ndarray of shape (n_items,), str objects
            The items, sorted: Amazon's standard identification numbers.
        titles, brands, descriptions : ndarray of shape (n_items,), str objects
            Texts of the items as they stand in the source, where "&" may be "&amp;";
            empty where it has none.
        categories : ndarray of shape (n_items,), tuples of tuples of str
            Paths of each item in the tree of categories, each from the root.
        prices : ndarray of shape (n_items,), float64
            Prices in US dollars; NaN where there is none.
        DESCR : str
            The full description of the data set.

    Raises
    ------
    FileNotFoundError
        If the files are not in `path`; or, without it, not in `data_home`, and
        ``download_if_missing=False``.
    OSError
        If there is no connection, it broke off, or another file came.
    ValueError
        If there is no such category, or a file is damaged, in another format (the
        message says in which line), or of another edition.

    See Also
    --------
    leave_one_out : Split the sequences.
    fetch_movielens : Films that users rated.
    make_store : Generated sequences that need no download.

    Notes
    -----
    **Terms of use.** The reviews and the texts belong to their authors and to Amazon.
    The source gives them for research and states no license: they may not be passed
    on. Nothing of them ships with skhyper. Publications cite [1]_.

    Checksums are known for Beauty alone. Other categories are checked by the checksum
    that gzip keeps inside a file, and by their counts where those are in the table.

    References
    ----------
    .. [1] J. McAuley, C. Targett, Q. Shi, A. van den Hengel, "Image-based
       Recommendations on Styles and Substitutes", SIGIR 2015.

    Examples
    --------
    >>> from skhyper.datasets import fetch_amazon_reviews_2014
    >>> beauty = fetch_amazon_reviews_2014("Beauty")  # doctest: +SKIP
    >>> len(beauty.sequences), len(beauty.item_ids)  # doctest: +SKIP
    (22363, 12101)
    """
    if category not in CATEGORIES:
        raise ValueError(
            f"category={category!r} is none of these: {', '.join(CATEGORIES)}."
        )
    names = (f"reviews_{category}_5.json.gz", f"meta_{category}.json.gz")
    if path is None:
        remedy = f"give the folder of {' and '.join(names)} as path"
        folder = Path(get_data_home(data_home), "amazon_reviews_2014")
        remotes = [Remote(ROOT + name, SHA256.get(name)) for name in names]
        files = [cached(each, folder, download_if_missing, remedy) for each in remotes]
    else:
        files = [_existing(Path(path), name) for name in names]

    users, items, times, ratings = _read_reviews(files[0])
    user_ids, (timestamps, sequences, stars) = by_user(users, times, items, ratings)
    item_ids = np.unique(items)
    _check_counts(files[0], category, (len(user_ids), len(item_ids), len(users)))
    found = _read_products(files[1], set(item_ids))
    products = [found.get(item, NO_PRODUCT) for item in item_ids]
    return Bunch(
        sequences=sequences,
        timestamps=timestamps,
        ratings=stars,
        user_ids=user_ids,
        item_ids=item_ids,
        titles=_objects(product.title for product in products),
        brands=_objects(product.brand for product in products),
        descriptions=_objects(product.description for product in products),
        categories=_objects(product.categories for product in products),
        prices=np.array([product.price for product in products]),
        DESCR=_resource("amazon_reviews_2014.rst").read_text(encoding="utf-8"),
    )


class _Product(NamedTuple):
    """What the source says of an item."""

    title: str = ""
    brand: str = ""
    description: str = ""
    categories: tuple[tuple[str, ...], ...] = ()
    price: float = float("nan")

    @classmethod
    def from_source(cls, entry: dict[str, Any]) -> _Product:
        """Read an entry, any part of which may be missing."""
        title, brand, description = (
            str(entry.get(key) or "") for key in cls._fields[:3]
        )
        paths = tuple(tuple(path) for path in entry.get("categories", ()))
        return cls(title, brand, description, paths, float(entry.get("price", "nan")))


NO_PRODUCT = _Product()


def _existing(folder: Path, name: str) -> Path:
    """Return the path of a file in the user's folder."""
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} does not hold {name}. Give the folder of this file as path."
        )
    return file


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank."""
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is damaged after line {number}: {error}. Delete it and download "
            "it again."
        ) from error


def _read_reviews(path: Path) -> tuple[NDArray[Any], ...]:
    """Return user, item, time and stars of each review, in the file's order."""
    reviews = []
    for number, line in _lines(path):
        try:
            review = json.loads(line)
            user, item = review["reviewerID"], review["asin"]
            if not (user and isinstance(user, str) and item and isinstance(item, str)):
                raise ValueError(f"reviewerID={user!r} and asin={item!r}")
            time, stars = int(review["unixReviewTime"]), float(review["overall"])
            reviews.append((user, item, time, stars))
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"Line {number} of {path} is not a review in JSON with reviewerID, "
                f"asin, unixReviewTime and overall: {error!r}."
            ) from error
    if not reviews:
        raise ValueError(f"{path} has no reviews.")
    users, items, times, ratings = zip(*reviews, strict=True)
    return _objects(users), _objects(items), np.array(times), np.array(ratings)


def _check_counts(path: Path, category: str, counts: tuple[int, int, int]) -> None:
    """Raise a ValueError if these are known not to be the reviews of the category."""
    expected = COUNTS.get(category, counts)
    if counts != expected:
        raise ValueError(
            f"{path} has {counts[0]} users, {counts[1]} items and {counts[2]} reviews, "
            f"where {expected[0]}, {expected[1]} and {expected[2]} are expected: it is "
            f"not the 5-core file of 2014 for {category}."
        )


def _read_products(path: Path, wanted: set[str]) -> dict[str, _Product]:
    """Return the products that are wanted, of a file with a Python literal a line."""
    products = {}
    for number, line in _lines(path):
        # Most lines are of products that nobody left has reviewed. To read them would
        # take minutes.
        named = ASIN.findall(line)
        if named and wanted.isdisjoint(named):
            continue
        try:
            entry = ast.literal_eval(line)
            products[entry["asin"]] = _Product.from_source(entry)
        except UNREADABLE as error:
            raise ValueError(
                f"Line {number} of {path} is not a product as a Python dictionary with "
                f"asin: {error!r}."
            ) from error
    if wanted.isdisjoint(products):
        raise ValueError(f"{path} has none of the {len(wanted)} reviewed products.")
    return products
