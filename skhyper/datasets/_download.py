"""Files from the web: whole and right or not at all, resumed where they broke off."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError

TIMEOUT = 30.0
# How often a connection may break off in one call, if each one brought something.
TRIES = 5
CHUNK = 1 << 20
NOT_SATISFIABLE = 416


class Remote(NamedTuple):
    """A file to download, and how to know it; without a SHA-256 it must be gzipped."""

    url: str
    sha256: str | None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]


def cached(
    remote: Remote, folder: Path, download_if_missing: bool, remedy: str
) -> Path:
    """Return the path of a file in the folder, downloaded if it is not there.

    Raises
    ------
    FileNotFoundError
        If it is not there, and ``download_if_missing=False``.
    OSError
        See `download`.
    """
    target = folder / remote.name
    if not target.exists():
        if not download_if_missing:
            raise FileNotFoundError(
                f"{target} does not exist, and download_if_missing=False. Set "
                f"download_if_missing=True, or {remedy}."
            )
        download(remote, target, remedy)
    return target


def download(remote: Remote, target: Path, remedy: str) -> None:
    """Download a file to `target`, whole and right or not at all.

    What came before a connection broke off stays beside it, under the same name and
    ".part"; the next call goes on from there. `remedy` ends the messages of errors.

    Raises
    ------
    OSError
        If there is no connection, it broke off, or what came is not the file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _fill(remote.url, part, remedy)
    fault = _fault(part, remote.sha256)
    if fault:
        part.unlink()
        raise OSError(
            f"What came from {remote.url} {fault}: it is damaged or has changed. Try "
            f"again, or {remedy}."
        )
    part.replace(target)


def _fill(url: str, part: Path, remedy: str) -> None:
    """Download to `part`, in several pieces if the connection breaks off."""
    for tries_left in reversed(range(TRIES)):
        before = _size(part)
        try:
            return _append(url, part)
        except (OSError, HTTPException) as error:
            after = _size(part)
            if tries_left and after > before:
                continue
            kept = f" The {after} bytes in {part} are kept." if after else ""
            raise OSError(
                f"{url} could not be downloaded: {error}.{kept} Try again, or {remedy}."
            ) from error


def _append(url: str, part: Path) -> None:
    """Ask for what `part` lacks, and write it there."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "skhyper"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if start and error.code == NOT_SATISFIABLE:
                return  # nothing is lacking, or the part is wrong: its check tells
            raise
    with response:
        # A server that knows no ranges sends the whole file again.
        resumed = response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        with part.open("ab" if resumed else "wb") as file:
            shutil.copyfileobj(response, file)
        if response.length:
            raise OSError(f"the connection broke off {response.length} bytes too early")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _fault(path: Path, sha256: str | None) -> str:
    """Return what is wrong with a file, or an empty text."""
    if sha256 is None:
        if not _size(path):
            return "is empty"
        try:
            with gzip.open(path) as file:
                while file.read(CHUNK):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            return f"is no whole gzip file ({error})"
        return ""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if found == sha256 else f"has the SHA-256 {found}, not {sha256}"
