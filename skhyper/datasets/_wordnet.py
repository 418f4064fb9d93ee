"""The nouns of WordNet 3.0 and what each is a kind of: a part that ships, and all."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from skhyper.datasets import _wndb
from skhyper.datasets._download import download
from skhyper.datasets._naics import _resource
from skhyper.datasets._wndb import Nouns, installed, read_nouns

CACHED = "wordnet-3.0.zip"


def load_wordnet_mammals() -> Bunch:
    """Load the mammals of WordNet 3.0: a hierarchy of 1180 nouns.

    =====================   =================================
    Nodes                   1180
    Edges                   1180, from child to parent
    Pairs in the closure    6540
    Leaves                  887
    =====================   =================================

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        edges : ndarray of shape (1180, 2), str objects
            Names (child, parent) of each direct edge. `transitive_closure` gives all
            pairs (node, ancestor) of them.
        names : ndarray of shape (1180,), str objects
            Name of each node, such as "dog.n.01": its first lemma, "n" for a noun, and
            which sense of that lemma it is. They are sorted.
        lemmas : ndarray of shape (1180,), tuples of str
            Words for each node, with "_" for a space.
        glosses : ndarray of shape (1180,), str objects
            What each node is, with examples of use.
        DESCR : str
            The full description of the data set.

    See Also
    --------
    fetch_wordnet_nouns : All nouns.
    transitive_closure : All pairs (node, ancestor).
    hypernymy_split : Pairs to train on and to test with.

    Notes
    -----
    Source: WordNet 3.0, Copyright 2006 by Princeton University, under the license that
    lies beside the data as ``wordnet_LICENSE.txt``.

    Examples
    --------
    >>> from skhyper.datasets import load_wordnet_mammals, transitive_closure
    >>> mammals = load_wordnet_mammals()
    >>> row = list(mammals.names).index("lion.n.01")
    >>> mammals.lemmas[row]
    ('lion', 'king_of_beasts', 'Panthera_leo')
    >>> pairs = transitive_closure(mammals.edges)
    >>> pairs.shape
    (6540, 2)
    >>> for ancestor in pairs[pairs[:, 0] == "lion.n.01", 1]:
    ...     print(ancestor)
    big_cat.n.01
    carnivore.n.01
    feline.n.01
    mammal.n.01
    placental.n.01
    """
    packed = _resource("wordnet_mammals.tsv.gz").read_bytes()
    _, *lines = gzip.decompress(packed).decode("utf-8").splitlines()
    names, parents, lemmas, glosses = zip(
        *(line.split("\t") for line in lines), strict=True
    )
    edges = [
        (name, parent)
        for name, above in zip(names, parents, strict=True)
        for parent in above.split("|")
        if parent
    ]
    return Bunch(
        edges=np.array(edges, dtype=object),
        names=_objects(names),
        lemmas=_objects(tuple(words.split("|")) for words in lemmas),
        glosses=_objects(glosses),
        DESCR=_resource("wordnet_mammals.rst").read_text(encoding="utf-8"),
    )


def fetch_wordnet_nouns(
    path: str | PathLike[str] | None = None,
    *,
    data_home: str | PathLike[str] | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Load all nouns of WordNet 3.0 (download it if necessary).

    =====================   =================================
    Nodes                   82115
    Edges                   84427, from child to parent
    Pairs in the closure    743241
    =====================   =================================

    These are the nodes and pairs of the Poincare embeddings [1]_: a step up leads
    from a kind to what it is a kind of (dog to canine), or from an instance to what
    it is an instance of (Einstein to physicist).

    Parameters
    ----------
    path : str or path-like, default=None
        Folder that holds WordNet's own files ``data.noun`` and ``index.noun``, or a zip
        file of it. None looks where Debian's package ``wordnet-base`` and NLTK's
        downloader put them, then in `data_home`.
    data_home : str or path-like, default=None
        Folder for downloads; None is that of `sklearn.datasets.get_data_home`,
        ``~/scikit_learn_data`` if nothing else is set.
    download_if_missing : bool, default=True
        Whether to download the files (11 MB, from NLTK's data on GitHub, checked by
        its SHA-256) where they are nowhere else. `path` is never replaced by a
        download.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        edges : ndarray of shape (84427, 2), str objects
            Names (child, parent) of each direct edge. `transitive_closure` gives all
            pairs (node, ancestor) of them.
        kinds : ndarray of shape (84427,), str
            "h" where the child is a kind of the parent (75850), "i" where it is an
            instance of it (8577).
        names, lemmas, glosses : ndarray of shape (82115,)
            As of `load_wordnet_mammals`, in WordNet's order.
        DESCR : str
            The full description of the data set.

    Raises
    ------
    FileNotFoundError
        If the files are not in `path`; or, without it, nowhere, and
        ``download_if_missing=False``.
    OSError
        If there is no connection, or another file came than was expected. What
        came before it broke off is kept for the next call.
    ValueError
        If `path` holds another version of WordNet, or no WordNet. Without `path`, such
        places are passed over.

    See Also
    --------
    load_wordnet_mammals : A part of it that ships.

    References
    ----------
    .. [1] M. Nickel, D. Kiela, "Poincare Embeddings for Learning Hierarchical
       Representations", NeurIPS 2017.

    Examples
    --------
    >>> from skhyper.datasets import fetch_wordnet_nouns
    >>> nouns = fetch_wordnet_nouns()  # doctest: +SKIP
    >>> nouns.edges[0]  # doctest: +SKIP
    array(['physical_entity.n.01', 'entity.n.01'], dtype=object)
    """
    if path is None:
        nouns = _find(data_home, download_if_missing)
    else:
        nouns = read_nouns(Path(path))
    names = _objects(nouns.names)
    return Bunch(
        edges=names[np.array(nouns.edges, dtype=np.int64)],
        kinds=np.array(nouns.kinds),
        names=names,
        lemmas=_objects(nouns.lemmas),
        glosses=_objects(nouns.glosses),
        DESCR=_resource("wordnet_nouns.rst").read_text(encoding="utf-8"),
    )


def _find(data_home: str | PathLike[str] | None, download_if_missing: bool) -> Nouns:
    """Return the nouns that are installed, else from the cache, else downloaded."""
    cached = Path(get_data_home(data_home), CACHED)
    passed_over = []
    for place in (*installed(), *([cached] if cached.exists() else [])):
        try:
            return read_nouns(place)
        except (OSError, ValueError) as error:
            passed_over.append(str(error))
    if not download_if_missing:
        raise FileNotFoundError(
            "WordNet 3.0 is not installed, and download_if_missing=False. Give the "
            "folder of its files as path, or set download_if_missing=True. "
            + " ".join(passed_over)
        )
    download(_wndb.ARCHIVE, cached, _wndb.HELP)
    return read_nouns(cached)


def _objects(values: Iterable[Any]) -> NDArray[np.object_]:
    """Return a vector of objects, also of tuples."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
