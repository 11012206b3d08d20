"""Which files of a store are this workflow's to delete: those that its records account for.

Beside the receipts, in ``.state/{store}/{node}/owned.json``, stands every JSON document that was
written, or was about to be, into a node of a store: its group (""), a level, or the NIfTI header.
It is written before the store is touched, and no job deletes it, so it holds wherever a run was
killed. It lies outside the store, whose bytes depend on source, options and version alone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from neurozarr.durable import sync
from neurozarr.errors import OwnershipError
from neurozarr.ome.reading import metadata_of
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.chunks import chunk_index
from neurozarr.zarr.documents import FILES, GROUP_FILES, HEADER, Document, read_record, write_json

_RECORD = "owned.json"
#: A gzip file ends with the CRC-32 and the size of its content (RFC 1952, section 2.3.1).
_GZIP_END = 8
_DOCUMENTS = {name for names in (*FILES.values(), *GROUP_FILES.values()) for name in names}
#: What a writer that was killed leaves: how this package, TensorStore and zarr-python name a file
#: until it is whole.
_UNFINISHED = re.compile(
    r"(?:^|/)(?:zarr\.json|\.z(?:array|group|attrs))(?:\.[0-9a-f]+)?\.tmp$"
    r"|\.__lock$|\.[0-9a-f]{32}\.partial$"
)


def record(
    paths: StorePaths, node: str, documents: Iterable[Document], *, only: bool = False
) -> None:
    """Record documents as this workflow's, before they are written.

    Parameters
    ----------
    paths
        Where the store lies.
    node
        Name of the node in its store; "" for the group.
    documents
        What will be written there.
    only
        Whether nothing that was recorded before is there any more.
    """
    known = [] if only else _recorded(paths.state, node)
    new = [document for document in documents if document not in known]
    if only or new:
        write_json(paths.state / node / _RECORD, {"documents": known + new})


def remove(paths: StorePaths, node: str) -> None:
    """Delete a level, or the NIfTI header, with all that is in it.

    Raises
    ------
    OwnershipError
        A file in it is not this workflow's; nothing is deleted.
    """
    folder = paths.store / node
    if folder.is_symlink() or folder.exists():
        _refuse(paths.store, next(_foreign_in_array(folder, paths.state, node), None))
        _delete(folder)


def _delete(folder: Path) -> None:
    """Delete a directory; another job may be at it too, as every level unpublishes the image."""

    def ignore_missing(function: Any, path: str, found: Any) -> None:
        if not isinstance(found[1], FileNotFoundError):
            raise found[1]

    shutil.rmtree(folder, onerror=ignore_missing)


def remove_unfinished(paths: StorePaths, node: str) -> None:
    """Delete the files of a level that are no part of its array, which killed jobs have left.

    Raises
    ------
    OwnershipError
        A file in it is not this workflow's; nothing is deleted.
    """
    folder = paths.store / node
    _refuse(paths.store, next(_foreign_in_array(folder, paths.state, node), None))
    arrays = _arrays(paths.state, node)[-1:]
    for key, _ in _files(folder):
        if key not in _DOCUMENTS and not _is_chunk(arrays, key):
            (folder / key).unlink()


def unpublish(paths: StorePaths) -> None:
    """Take the metadata of the group, then the NIfTI header, away: an image is no longer there.

    Raises
    ------
    OwnershipError
        One of them is not this workflow's; nothing is deleted.
    """
    store = paths.store
    _refuse(store, next(_foreign_documents(store, paths.state), None))
    for name in sorted({name for names in GROUP_FILES.values() for name in names}, reverse=True):
        (store / name).unlink(missing_ok=True)
    remove(paths, HEADER)
    if store.exists():
        sync(store)


def check(paths: StorePaths) -> None:
    """Raise an OwnershipError where a store holds a file that is not this workflow's.

    Parameters
    ----------
    paths
        Where the store lies; it need not exist.
    """
    store = paths.store
    if os.path.lexists(store) and not store.is_dir():
        _refuse(store, store)
    if store.is_dir():
        _refuse(store, next(_foreign(store, paths.state), None))


def record_file(receipt: Path, file: Path) -> None:
    """Record a gzip file beside the stores as this workflow's, before it has its name."""
    write_json(receipt, _told_by(file))


def check_file(receipt: Path, file: Path) -> None:
    """Raise an OwnershipError where there is a gzip file that is not the one that was recorded."""
    if os.path.lexists(file) and (not file.is_file() or _told_by(file) != read_record(receipt)):
        raise OwnershipError(
            f"{file} was not written by this workflow, or was changed since, and would be "
            "overwritten. Move it away, or choose another output"
        )


def _told_by(file: Path) -> Document:
    """What tells a gzip file from others at no cost: its size, and its end, which is a checksum."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _GZIP_END))
        return {"bytes": size, "end": stream.read().hex()}


def _refuse(store: Path, foreign: Path | None) -> None:
    if foreign is not None:
        raise OwnershipError(
            f"{store} is left as it is: {foreign} was not written by this workflow, or was changed "
            "since. Move it away, or choose another output"
        )


def _foreign(store: Path, state: Path) -> Iterator[Path]:
    """The files of a store that are not this workflow's."""
    yield from _foreign_documents(store, state)
    for entry in sorted(store.iterdir()):
        if entry.is_symlink() or not entry.is_dir():
            if entry.name not in _DOCUMENTS and not _UNFINISHED.search(entry.name):
                yield entry
        else:
            yield from _foreign_in_array(entry, state, entry.name)


def _foreign_documents(store: Path, state: Path) -> Iterator[Path]:
    """The documents of a group that are not this workflow's.

    The metadata of an image may have been edited: they are made again from its arrays.
    """
    known = _recorded(state, "")
    for name in sorted(_DOCUMENTS):
        path = store / name
        if path.is_symlink() or (path.is_file() and not _is_owned(path, known, image=bool(known))):
            yield path


def _foreign_in_array(folder: Path, state: Path, node: str) -> Iterator[Path]:
    """The files of a level, or of the NIfTI header, that are not this workflow's."""
    if folder.is_symlink() or folder.is_file():
        yield folder
        return
    known, arrays = _recorded(state, node), _arrays(state, node)
    for key, is_link in _files(folder):
        if key in _DOCUMENTS and not is_link:
            if not _is_owned(folder / key, known):
                yield folder / key
        elif is_link or not (_is_chunk(arrays, key) or _UNFINISHED.search(key)):
            yield folder / key


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """All files below a directory, by their path in it, and whether each is a link.

    Of millions of chunks each costs no more than its name.
    """
    try:
        with os.scandir(folder / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:  # Another job deletes it.
        return
    for entry in entries:
        key = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, f"{key}/")
        else:
            yield key, entry.is_symlink()


def _is_owned(path: Path, known: list[Document], *, image: bool = False) -> bool:
    """Whether a document is one of those recorded, or is damaged so that nothing can be read."""
    found = read_record(path)
    return found is None or found in known or (image and _is_image(found))


def _is_image(document: Any) -> bool:
    attributes = document.get("attributes", document)
    return isinstance(attributes, dict) and "multiscales" in metadata_of(attributes)


def _is_chunk(arrays: list[Document], key: str) -> bool:
    return any(chunk_index(array, key) is not None for array in arrays)


def _recorded(state: Path, node: str) -> list[Document]:
    found = read_record(state / node / _RECORD)
    return [] if found is None else list(found.get("documents", []))


def _arrays(state: Path, node: str) -> list[Document]:
    return [document for document in _recorded(state, node) if "shape" in document]
