"""The nouns in WordNet's own database files: where they lie, and how to read them.

The format is that of WordNet's manual page wndb(5WN).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skhyper.datasets._download import Remote

# The pointers from a noun to what it is a kind of, and to what it is an instance of.
KINDS = {"@": "h", "@i": "i"}
FILES = ("data.noun", "index.noun")
DEBIAN = Path("/usr/share/wordnet")
SUBFOLDERS = ("", "share", "lib")
IN_CORPORA = ("wordnet", "wordnet.zip")
HELP = (
    "install Debian's package wordnet-base or NLTK's corpus wordnet, or give their "
    "folder as path"
)


class Nouns(NamedTuple):
    """Nouns, and edges from row to row."""

    names: list[str]
    lemmas: list[tuple[str, ...]]
    glosses: list[str]
    edges: list[tuple[int, int]]
    kinds: list[str]

    def digest(self) -> str:
        """Return a SHA-256 of the names and the edges, whatever their order."""
        lines = sorted(
            f"{self.names[child]}\t{self.names[parent]}\t{kind}"
            for (child, parent), kind in zip(self.edges, self.kinds, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# WordNet 3.0 as NLTK distributes it.
ARCHIVE = Remote(
    "https://raw.githubusercontent.com/nltk/nltk_data/"
    "5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora/wordnet.zip",
    "cbda5ea6eef7f36a97a43d4a75f85e07fccbb4f23657d27b4ccbc93e2646ab59",
)
# How many nouns, and `Nouns.digest`.
CONTENT = (82115, "1f8cd51d0bdf58de9e5c134d4b7fc9393e4aacc488b9f5898ac80b751e7a53bc")


def parse_nouns(data: str, index: str) -> Nouns:
    """Return the nouns of the texts of ``data.noun`` and ``index.noun``.

    Names are those of NLTK: the first lemma in lower case, "n", and the number that
    the sense has among those of this lemma.
    """
    senses = dict(_senses(index))
    rows = [line for line in data.splitlines() if not line.startswith("  ")]
    row_of = {line[:8]: row for row, line in enumerate(rows)}
    nouns = Nouns([], [], [], [], [])
    for row, line in enumerate(rows):
        entry, _, gloss = line.partition(" | ")
        fields = entry.split()
        # A count of words in hexadecimal, then each word with a number of its file.
        end = 4 + 2 * int(fields[3], 16)
        lemmas = tuple(fields[4:end:2])
        first = lemmas[0].lower()
        number = senses[first].index(fields[0]) + 1
        nouns.names.append(f"{first}.n.{number:02d}")
        nouns.lemmas.append(lemmas)
        nouns.glosses.append(gloss.strip())
        # Then a count of pointers, each a symbol, a target, its part of speech, words.
        pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
        for symbol, target in zip(pointers[::4], pointers[1::4], strict=True):
            if symbol in KINDS:
                nouns.edges.append((row, row_of[target]))
                nouns.kinds.append(KINDS[symbol])
    return nouns


def _senses(index: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each lemma, and where its senses stand in the data, the commonest first."""
    for line in index.splitlines():
        if not line.startswith("  "):
            fields = line.split()
            yield fields[0], fields[-int(fields[2]) :]


def read_nouns(path: Path) -> Nouns:
    """Return the nouns of WordNet 3.0 in a folder or a zip file.

    Raises
    ------
    FileNotFoundError
        If the two files are not there.
    ValueError
        If they hold something else.
    """
    try:
        data, index = _read_files(path)
        nouns = parse_nouns(data, index)
    except (ValueError, LookupError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not in the format of WordNet's database: {error!r}."
        ) from error
    if (len(nouns.names), nouns.digest()) != CONTENT:
        version = re.search(r"WordNet [\d.]*\d", data[:4096])
        raise ValueError(
            f"{path} does not hold the nouns of WordNet 3.0. It calls itself "
            f"{version.group() if version else 'nothing'} and has {len(nouns.names)} "
            f"nouns, where {CONTENT[0]} with certain hypernyms are expected."
        )
    return nouns


def _read_files(path: Path) -> list[str]:
    """Return the texts of the two files."""
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = {name.rpartition("/")[2]: name for name in archive.namelist()}
            missing = [name for name in FILES if name not in inside]
            if not missing:
                return [archive.read(inside[name]).decode("utf-8") for name in FILES]
    else:
        folder = path.parent if path.name in FILES else path
        missing = [name for name in FILES if not (folder / name).is_file()]
        if not missing:
            return [(folder / name).read_text(encoding="utf-8") for name in FILES]
    raise FileNotFoundError(
        f"{path} does not hold {' and '.join(missing)}. Give the folder with WordNet's "
        f"files {' and '.join(FILES)}, or a zip file of it."
    )


def installed() -> list[Path]:
    """Return the places where Debian's package and NLTK's downloader put WordNet."""
    named = os.environ.get("NLTK_DATA", "").split(os.pathsep)
    roots = [Path(name) for name in named if name]
    roots.append(Path(os.path.expanduser("~"), "nltk_data"))
    prefixes = (Path(sys.prefix), Path("/usr"), Path("/usr/local"))
    roots += [prefix / sub / "nltk_data" for prefix in prefixes for sub in SUBFOLDERS]
    corpora = [root / "corpora" / name for root in roots for name in IN_CORPORA]
    return [path for path in (DEBIAN, *corpora) if os.path.exists(path)]
