"""Ownership records: the workflow deletes only files that it wrote itself.

The record ``.state/{store}/{node}/owned.json`` lists every Zarr metadata document that was written,
or was about to be written, into a node of the store: its group (""), a level, or the NIfTI header.
It is written before the store is changed and never deleted, so it is complete even if a run is
killed. It is kept outside the store because the bytes of a store depend only on the source, the
options and the version of neurozarr.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from neurozarr.errors import OwnershipError
from neurozarr.ome.reading import metadata_of
from neurozarr.run import receipts
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.chunks import chunk_index
from neurozarr.zarr.documents import (
    FILES,
    GROUP_FILES,
    LABELS,
    Document,
    read_record,
    write_json,
)

_RECORD = "owned.json"
#: Bytes at the end of a gzip file with the CRC-32 and the size of its content (RFC 1952, 2.3.1).
_GZIP_END = 8
_DOCUMENTS = {name for names in (*FILES.values(), *GROUP_FILES.values()) for name in names}
#: Names of the temporary files that this package, TensorStore and zarr-python leave if killed.
_UNFINISHED = re.compile(
    r"(?:^|/)(?:zarr\.json|\.z(?:array|group|attrs))(?:\.[0-9a-f]+)?\.tmp$"
    r"|\.__lock$|\.[0-9a-f]{32}\.partial$"
)


def record(
    paths: StorePaths, node: str, documents: Iterable[Document], *, only: bool = False
) -> None:
    """Record documents as written by this workflow, before they are written.

    Parameters
    ----------
    paths
        Paths of the store.
    node
        Name of the node in the store; "" for the group.
    documents
        Documents that will be written into the node.
    only
        Whether to drop earlier documents from the record, because the node no longer has them.
    """
    known = [] if only else _recorded(paths.state, node)
    new = [document for document in documents if document not in known]
    if only or new:
        write_json(paths.state / node / _RECORD, {"documents": known + new})


def remove(paths: StorePaths, node: str) -> None:
    """Delete a level or the NIfTI header, with all its files.

    Parameters
    ----------
    paths
        Paths of the store.
    node
        Name of the node in the store.

    Raises
    ------
    OwnershipError
        The workflow did not write one of the files; nothing is deleted.
    """
    folder = paths.node(node)
    if folder.is_symlink() or folder.exists():
        _refuse(paths, next(_foreign_in_array(folder, paths.state, node), None))
        _delete(folder)
    for outer in folder.parents:
        if outer == paths.store or not _is_own_group(outer, paths, node):
            break
        _delete(outer)


def _is_own_group(folder: Path, paths: StorePaths, node: str) -> bool:
    """Whether a directory around a level has nothing but the documents written for that level."""
    known, entries = _recorded(paths.state, node), _entries(folder)
    return bool(entries) and all(
        entry.name in _DOCUMENTS
        and entry.is_file(follow_symlinks=False)
        and read_record(entry.path) in known
        for entry in entries
    )


def _delete(folder: Path) -> None:
    """Delete a directory that another job may be deleting too, since each unpublishes the image."""

    def ignore_missing(function: Any, path: str, found: Any) -> None:
        if not isinstance(found[1], FileNotFoundError):
            raise found[1]

    shutil.rmtree(folder, onerror=ignore_missing)


def remove_unfinished(paths: StorePaths, node: str) -> None:
    """Delete files that killed jobs left in a level and that are not part of its array.

    Parameters
    ----------
    paths
        Paths of the store.
    node
        Name of the level in the store.

    Raises
    ------
    OwnershipError
        The workflow did not write one of the files; nothing is deleted.
    """
    folder = paths.node(node)
    _refuse(paths, next(_foreign_in_array(folder, paths.state, node), None))
    arrays = _arrays(_recorded(paths.state, node))[-1:]
    for key, _ in _files(folder):
        if key not in _DOCUMENTS and not _is_chunk(arrays, key):
            (folder / key).unlink()


def check_documents(paths: StorePaths) -> None:
    """Raise an OwnershipError if the metadata of a store's group were written by somebody else."""
    _refuse(paths, next(_foreign_documents(_entries(paths.store), paths.state), None))


def check(paths: StorePaths, levels: int = 0) -> None:
    """Raise an OwnershipError if a store, which need not exist, has a file of somebody else.

    Parameters
    ----------
    paths
        Paths of the store. In an image of others, only the levels that are added are looked at.
    levels
        Number of levels of such an image, with those that are added.
    """
    store = paths.store
    if paths.place is not None:
        for number in range(len(paths.place.names), levels):
            _refuse_in_place(paths, number)
        return
    if os.path.lexists(store) and not store.is_dir():
        _refuse(paths, store)
    if store.is_dir():
        _refuse(paths, next(_foreign(store, paths.state), None))


def _refuse_in_place(paths: StorePaths, number: int) -> None:
    """Raise an OwnershipError if there is a file of others where a level is to be added."""
    folder = paths.level(number).folder
    found = next(_foreign_in_array(folder, paths.state, str(number)), None)
    given, known = paths.level(0).folder.parents, _recorded(paths.state, str(number))
    for outer in folder.parents:
        if outer in given:  # A group of others, which is left as it is.
            break
        if outer.is_symlink() or outer.is_file():
            found = outer
        for entry in _entries(outer):
            if entry.name in _DOCUMENTS and not _is_owned(Path(entry.path), known):
                found = Path(entry.path)
    _refuse(paths, found)


def check_voxels(paths: StorePaths, again: Collection[Path], levels: int) -> None:
    """Check that what is written again in an image of others is what was written, byte for byte.

    Its owner may have written the image again, with levels of the same names. A level that is
    damaged must be deleted before it is made again.

    Parameters
    ----------
    paths
        Paths of the image.
    again
        Documents and receipts that are written again; so is all that is made from them.
    levels
        Number of levels of the image, with those that are added; others are deleted.

    Raises
    ------
    OwnershipError
        A file of such a level was replaced.
    """
    is_finer_changed = False
    for number in sorted(int(state.name) for state in paths.state.glob("[0-9]*")):
        level = paths.level(number)
        whole = is_finer_changed or number >= levels
        whole = whole or level.array_receipt in again or level.document in again
        known = sorted(level.state.glob(level.block_receipt("*").name))
        blocks = [receipt for receipt in known if whole or receipt in again]
        is_finer_changed = is_finer_changed or bool(blocks)
        if (file := receipts.replaced_file(level, blocks)) is not None:
            raise OwnershipError(
                f"{file} is not what this workflow wrote there, and would be overwritten. If "
                f"another program wrote the image again, delete {paths.state}: all levels that are "
                f"there then count as its own. If it is only damaged, delete {level.folder}"
            )


def check_absent(paths: StorePaths, file: Path) -> None:
    """Raise an OwnershipError if a document, which is to be added to an image, exists."""
    _refuse(paths, file if os.path.lexists(file) else None)


def record_file(receipt: Path, file: Path) -> None:
    """Record an exported gzip file as written by this workflow, before it gets its final name.

    Parameters
    ----------
    receipt
        The record to write.
    file
        The gzip file, under its temporary name.
    """
    write_json(receipt, _size_and_crc(file))


def check_file(receipt: Path, file: Path) -> None:
    """Check that an exported gzip file may be replaced.

    Parameters
    ----------
    receipt
        What `record_file` wrote.
    file
        The gzip file, which need not exist.

    Raises
    ------
    OwnershipError
        The file exists but is not the one that was recorded.
    """
    if os.path.lexists(file) and (
        not file.is_file() or _size_and_crc(file) != read_record(receipt)
    ):
        raise OwnershipError(
            f"{file} was not written by this workflow, or was edited, and would be overwritten. "
            "Move it away, or choose another output"
        )


def _size_and_crc(file: Path) -> Document:
    """Return the size of a gzip file and its last bytes, which contain a CRC: cheap to compare."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _GZIP_END))
        return {"bytes": size, "end": stream.read().hex()}


def _refuse(paths: StorePaths, foreign: Path | None) -> None:
    if foreign is None:
        return
    if paths.place is not None:
        raise OwnershipError(
            f"no level can be added to {paths.store} where {foreign} is: this workflow did not "
            "write it, or it was edited. Move it away, or leave this image out"
            + (
                f". If another program wrote the image again, delete {paths.state}: all levels "
                "that are there then count as its own"
                if paths.record.exists()
                else ""
            )
        )
    raise OwnershipError(
        f"{paths.store} cannot be changed: {foreign} was not written by this workflow, or was "
        "edited. Move it away, or choose another output"
    )


def _foreign(store: Path, state: Path) -> Iterator[Path]:
    """Find the files of a store that the workflow did not write."""
    entries = _entries(store)
    yield from _foreign_documents(entries, state)
    for entry in entries:
        if entry.name == LABELS and entry.is_dir(follow_symlinks=False):
            yield from _foreign_labels(Path(entry.path), state / LABELS)
        elif entry.is_dir(follow_symlinks=False):
            yield from _foreign_in_array(Path(entry.path), state, entry.name)
        elif entry.name not in _DOCUMENTS and not _UNFINISHED.search(entry.name):
            yield Path(entry.path)


def _foreign_labels(folder: Path, state: Path) -> Iterator[Path]:
    """Find the files that the workflow did not write in the group of an image's labels.

    Files of labels that it wrote are not looked at: they are checked with the store of each, and
    the steps of the image never change them.
    """
    entries = _entries(folder)
    yield from _foreign_documents(entries, state)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not has_label(state, entry.name):
                yield from (Path(entry.path, key) for key, _ in _files(Path(entry.path)))
        elif entry.name not in _DOCUMENTS and not _UNFINISHED.search(entry.name):
            yield Path(entry.path)


def has_label(state: Path, name: str) -> bool:
    """Whether the workflow wrote the label of a name.

    Parameters
    ----------
    state
        Directory of the records of an image's labels.
    name
        Name of the label.
    """
    return bool(_recorded(state / name, "0"))


def _foreign_documents(entries: Iterable[os.DirEntry[str]], state: Path) -> Iterator[Path]:
    """Find the metadata documents of a group, by its entries, that the workflow did not write.

    Edited metadata of an image or a list of labels are accepted, because they can be written again.
    """
    known = _recorded(state, "")
    for entry in (entry for entry in entries if entry.name in _DOCUMENTS):
        path = Path(entry.path)
        if entry.is_symlink() or (
            entry.is_file() and not _is_owned(path, known, image=bool(known))
        ):
            yield path


def _foreign_in_array(folder: Path, state: Path, node: str) -> Iterator[Path]:
    """Find the files of a level, or of the NIfTI header, that the workflow did not write."""
    if folder.is_symlink() or folder.is_file():
        yield folder
        return
    known = _recorded(state, node)
    arrays = _arrays(known)
    for key, is_link in _files(folder):
        if key in _DOCUMENTS and not is_link:
            if not _is_owned(folder / key, known):
                yield folder / key
        elif is_link or not (_is_chunk(arrays, key) or _UNFINISHED.search(key)):
            yield folder / key


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each file below a directory: its relative path, and whether it is a symbolic link.

    It only lists directories and does not look at the files: there may be millions of chunks.
    """
    for entry in _entries(folder / prefix):
        key = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, f"{key}/")
        else:
            yield key, entry.is_symlink()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a directory by name; none if there is no directory, or a job is deleting it."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_owned(path: Path, known: list[Document], *, image: bool = False) -> bool:
    """Tell whether a document is recorded, or is in place of one that is, but cannot be read."""
    found = read_record(path)
    if found is None:
        return bool(known)
    return found in known or (image and _is_image_or_list(found))


def _is_image_or_list(document: Any) -> bool:
    attributes = document.get("attributes", document)
    return isinstance(attributes, dict) and not {"multiscales", "labels"}.isdisjoint(
        metadata_of(attributes)
    )


def _is_chunk(arrays: list[Document], key: str) -> bool:
    return any(chunk_index(array, key) is not None for array in arrays)


def _recorded(state: Path, node: str) -> list[Document]:
    found = read_record(state / node / _RECORD)
    return [] if found is None else list(found.get("documents", []))


def _arrays(documents: list[Document]) -> list[Document]:
    return [document for document in documents if "shape" in document]
