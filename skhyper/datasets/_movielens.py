"""Films that users rated, in the order of time: MovieLens."""

from __future__ import annotations

import csv
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
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

ROOT = "https://files.grouplens.org/datasets/movielens/"
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, csv.Error)
NO_GENRES = "(no genres listed)"


class Version(NamedTuple):
    """An edition: its archive, the folder in it, and the kind of its files."""

    remote: Remote
    folder: str
    suffix: str


VERSIONS = {
    "latest-small": Version(
        Remote(
            f"{ROOT}ml-latest-small.zip",
            "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        ),
        "ml-latest-small",
        ".csv",
    ),
    "10m": Version(
        Remote(
            f"{ROOT}ml-10m.zip",
            "813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862",
        ),
        "ml-10M100K",
        ".dat",
    ),
}


def fetch_movielens(
    version: str = "latest-small",
    *,
    data_home: str | PathLike[str] | None = None,
    path: str | PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load the ratings of films of MovieLens (download if necessary).

    ============   =====   =====   ========
    version        users   films   ratings
    ============   =====   =====   ========
    latest-small     610    9724     100836
    10m            69878   10677   10000054
    ============   =====   =====   ========

    Parameters
    ----------
    version : {"latest-small", "10m"}, default="latest-small"
        The small edition of September 2018, 1 MB, to develop with, or the benchmark of
        January 2009 [1]_, 63 MB, which takes some time to read.
    data_home : str or path-like, default=None
        Folder for downloads; None is that of `sklearn.datasets.get_data_home`,
        ``~/scikit_learn_data`` if nothing else is set.
    path : str or path-like, default=None
        The zip file of this version, or the folder with its files ``ratings`` and
        ``movies``. None looks in `data_home`.
    download_if_missing : bool, default=True
        Whether to download the zip file where it is not in `data_home`; it is checked
        by its SHA-256. A download that breaks off goes on at the next call. `path` is
        never filled by a download.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        sequences : list of n_users ndarrays, int64
            Ids of the films that each user rated, in the order of time, and of the
            file where times are equal.
        timestamps : list of n_users ndarrays, int64
            Time of each rating in seconds since 1970.
        ratings : list of n_users ndarrays, float64
            Stars of each rating, from 0.5 to 5.
        user_ids : ndarray of shape (n_users,), int64
            The users, sorted.
        item_ids : ndarray of shape (n_items,), int64
            The films that anyone rated, sorted.
        titles : ndarray of shape (n_items,), str objects
            Title of each film with its year, such as "Toy Story (1995)".
        genres : ndarray of shape (n_items,), tuples of str
            Genres of each film.
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
        If there is no such version, or a file is damaged or in another format (the
        message says in which line).

    See Also
    --------
    leave_one_out : Split the sequences.
    fetch_amazon_reviews_2014 : Products that users reviewed.
    make_store : Generated sequences that need no download.

    Notes
    -----
    **Terms of use.** GroupLens at the University of Minnesota gives the data for
    research: no commercial use without its permission, no claim that it endorses the
    user, and publications cite [1]_. "10m" may not be passed on without permission,
    and "latest-small" under the same conditions alone; the file README in the archive
    has the full text. Nothing of it ships with skhyper.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan, "The MovieLens Datasets: History and Context",
       ACM Transactions on Interactive Intelligent Systems 5(4), 2015.

    Examples
    --------
    >>> from skhyper.datasets import fetch_movielens
    >>> films = fetch_movielens()  # doctest: +SKIP
    >>> len(films.sequences), len(films.item_ids)  # doctest: +SKIP
    (610, 9724)
    """
    if version not in VERSIONS:
        raise ValueError(
            f"version={version!r} is none of these: {', '.join(VERSIONS)}."
        )
    edition = VERSIONS[version]
    if path is None:
        remedy = f"give {edition.remote.name} or the folder of its files as path"
        folder = Path(get_data_home(data_home), "movielens")
        path = cached(edition.remote, folder, download_if_missing, remedy)
    try:
        with _opened(Path(path), edition) as opened:
            users, items, stars, times = _read_ratings(opened, edition)
            films = _read_films(opened, edition)
    except DAMAGE as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete it and download it again."
        ) from error

    user_ids, (timestamps, sequences, ratings) = by_user(users, times, items, stars)
    item_ids = np.unique(items)
    unknown = [item for item in item_ids.tolist() if item not in films]
    if unknown:
        raise ValueError(
            f"{path} has ratings of {len(unknown)} films that are not among its films, "
            f"such as {unknown[0]}: the two files are not of one edition."
        )
    return Bunch(
        sequences=sequences,
        timestamps=timestamps,
        ratings=ratings,
        user_ids=user_ids,
        item_ids=item_ids,
        titles=_objects(films[item][0] for item in item_ids.tolist()),
        genres=_objects(films[item][1] for item in item_ids.tolist()),
        DESCR=_resource("movielens.rst").read_text(encoding="utf-8"),
    )


@contextmanager
def _opened(path: Path, edition: Version) -> Iterator[Path | zipfile.Path]:
    """Give the folder of the files, on disk or in a zip file."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            yield zipfile.Path(archive, f"{edition.folder}/")
    else:
        yield path


def _rows(
    folder: Path | zipfile.Path, stem: str, edition: Version
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line but the heading."""
    name = f"{stem}{edition.suffix}"
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} does not hold {name}. Give {edition.remote.name} or the folder "
            "of its files as path."
        )
    with file.open("r", encoding="utf-8", newline="") as lines:
        if edition.suffix == ".csv":
            reader = csv.reader(lines)
            next(reader, None)
            for row in reader:
                yield reader.line_num, row
        else:
            for number, line in enumerate(lines, start=1):
                yield number, line.rstrip("\r\n").split("::")


def _read_ratings(
    folder: Path | zipfile.Path, edition: Version
) -> tuple[NDArray[Any], ...]:
    """Return user, film, stars and time of each rating, in the file's order."""
    users, items, stars, times = columns = (
        array("q"),
        array("q"),
        array("d"),
        array("q"),
    )
    for number, row in _rows(folder, "ratings", edition):
        try:
            user, item, rating, time = row
            users.append(int(user))
            items.append(int(item))
            stars.append(float(rating))
            times.append(int(time))
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"Line {number} of the ratings in {folder} is not a user, a film, a "
                f"rating and a time: {error}."
            ) from error
    if not users:
        raise ValueError(f"{folder} has no ratings.")
    return tuple(np.array(column) for column in columns)


def _read_films(
    folder: Path | zipfile.Path, edition: Version
) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Return title and genres of each film."""
    films = {}
    for number, row in _rows(folder, "movies", edition):
        try:
            item, title, genres = row
            listed = () if genres == NO_GENRES else tuple(genres.split("|"))
            films[int(item)] = (title, listed)
        except ValueError as error:
            raise ValueError(
                f"Line {number} of the films in {folder} is not a film, a title and "
                f"genres: {error}."
            ) from error
    return films
