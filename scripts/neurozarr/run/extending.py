"""The documents of an image of others: adding levels to them, and taking these away again.

These documents belong to others. They are only ever replaced as a whole, and only by what was read
just before, with or without our extension (see `neurozarr.ome.extending`); a copy of the original
is kept beside the receipts. The record ``.state/{store}/owned.json`` says what the extension is. It
is written before the documents, so that it is complete even if a run is killed.

Consolidated metadata, of the image's group or of groups around it, get the extension too, if there
are any: otherwise, readers that use them would not find the new levels.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import xxhash

from neurozarr.durable import make_folder, sync
from neurozarr.errors import OwnershipError, StoreError
from neurozarr.ome.extending import consolidated, document_extended, extended, without
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import Document, cannot_be_written, read_record, write_json

logger = logging.getLogger(__name__)

#: An extension that adds nothing.
NOTHING: Document = {"datasets": [], "multiscale": {}, "group": {}, "nodes": {}}
#: Name of the consolidated metadata of Zarr v2.
_CONSOLIDATED = ".zmetadata"
#: Ending of the name of a document that is being written.
_UNFINISHED = ".neurozarr.tmp"


@dataclass(frozen=True)
class GroupFile:
    """A document that describes an image.

    Attributes
    ----------
    file
        Its path.
    prefix
        Path of the image's group from that of the document, with "/" at its end; "" if it is the
        same.
    """

    file: Path
    prefix: str

    def changed(self, document: Document, extension: Document, *, add: bool) -> Document:
        """The document with an extension or, if not ``add``, without it."""
        if self.file.name == ".zattrs":
            return (extended if add else without)(document, extension)
        if self.file.name == "zarr.json" and not self.prefix:
            return document_extended(document, extension, add=add)
        if self.file.name == "zarr.json":
            inline = document["consolidated_metadata"]
            nodes = consolidated(inline["metadata"], self.prefix, extension, add=add)
            return document | {"consolidated_metadata": inline | {"metadata": nodes}}
        nodes = consolidated(document["metadata"], self.prefix, extension, add=add)
        return document | {"metadata": nodes}


def recorded(paths: StorePaths) -> Document:
    """The extension of an image as recorded; one that adds nothing if there is no record."""
    return (read_record(paths.record) or {}).get("extension", NOTHING)


def plain_attributes(paths: StorePaths) -> Document:
    """The attributes of the image's group without the extension.

    Raises
    ------
    StoreError
        The document cannot be read.
    """
    place = _own(paths)
    document = place.changed(_read(place.file)[1], recorded(paths), add=False)
    return document if place.file.name == ".zattrs" else document.get("attributes") or {}


def digest_of(attributes: Document) -> str:
    """A checksum of attributes, of which NaN may be a value."""
    return xxhash.xxh3_64_hexdigest(json.dumps(attributes).encode())


def check_image(paths: StorePaths) -> None:
    """Check that the levels of a sample are not those of another image.

    Raises
    ------
    OwnershipError
        Levels were added to another image, which still exists; or the image is a store of this
        workflow.
    """
    known = (read_record(paths.record) or {}).get("group")
    if known is not None and known != str(paths.store) and os.path.exists(known):
        raise OwnershipError(
            f"levels of {known} were added under the same sample name, but now it is that of "
            f"{paths.store}: give it another name in a sample sheet, or choose another output"
        )
    name = os.path.relpath(paths.store, os.path.realpath(paths.output))
    if (paths.state.parent / name / "0/array.json").exists():
        raise OwnershipError(
            f"{paths.store} was made by this workflow: to give it more levels, convert it again "
            "with other options, not in place"
        )


def check_writable(paths: StorePaths) -> None:
    """Raise a StoreError if the image's group or one of its documents cannot be replaced."""
    for place in _places(paths):
        if place.file.is_symlink():
            raise StoreError(
                f"{place.file} is a link, which would be replaced by a file: replace it by the "
                f"file itself, or give {os.path.realpath(place.file)} as source"
            )
        if not os.access(place.file.parent, os.W_OK | os.X_OK):
            raise StoreError(
                f"{place.file.parent} cannot be written: in_place changes it; get the permission, "
                "or convert the image into a new store without in_place"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the directory of a group, which the system frees if a job dies.

    Runs with other outputs may add levels to the same image, and others to images around it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            logger.warning("%s: the file system has no locks (%s)", folder, error)
        yield
    finally:
        os.close(descriptor)


def withdraw(paths: StorePaths) -> None:
    """Take the extension out of the documents, so that readers find the image as it was.

    The document of the image's group is the first.

    Raises
    ------
    StoreError
        A document cannot be read or written, or another program has just changed it.
    """
    with locked(paths.store):
        if not paths.record.exists():
            record(paths, NOTHING)
    extension = recorded(paths)
    if extension == NOTHING:
        return
    for place in reversed(_places(paths)):
        with locked(place.file.parent):
            _change(paths, place, extension, add=False)


def publish(paths: StorePaths, extension: Document, *, base: str) -> None:
    """Add an extension to the documents; that of the image's group is the last.

    Consolidated metadata then never lack a level that the group lists.

    Parameters
    ----------
    paths
        Paths of the image, whose documents have no extension.
    extension
        What to add.
    base
        Checksum of the attributes that were read when the run was planned.

    Raises
    ------
    StoreError
        A document cannot be read or written, or has changed since.
    """
    if digest_of(plain_attributes(paths)) != base:
        raise StoreError(
            f"{_own(paths).file} was changed by another program since the new levels were planned; "
            "it was left as it is: run again"
        )
    record(paths, extension)
    for place in _places(paths):
        with locked(place.file.parent):
            _change(paths, place, extension, add=True)
    logger.info("%s: %d levels added", paths.store, len(extension["datasets"]))


def record(paths: StorePaths, extension: Document) -> None:
    """Record what is added to an image, before it is added."""
    write_json(paths.record, {"group": str(paths.store), "extension": extension})


def problem(paths: StorePaths) -> str | None:
    """What is wrong with the documents of an image; None if they have the recorded extension."""
    extension = recorded(paths)
    for place in _places(paths):
        try:
            _, document = _read(place.file)
            if _text(place.changed(document, extension, add=True)) != _text(document):
                return f"{place.file} does not describe the added levels"
        except (StoreError, KeyError, TypeError, AttributeError, IndexError) as error:
            return f"{place.file} cannot be read ({error})"
    return None


def _change(paths: StorePaths, place: GroupFile, extension: Document, *, add: bool) -> None:
    """Replace a document by one with an extension or, if not ``add``, without it."""
    before, document = _read(place.file)
    plain = place.changed(document, extension, add=False)
    changed = place.changed(plain, extension, add=True) if add else plain
    if _text(changed) == _text(document):
        return
    original = _keep(paths, place, before)
    # Without the extension, it gets the bytes that it had.
    same = _text(json.loads(original)) == _text(changed)
    _replace(place.file, before, original if same else _bytes(changed, before))


def _places(paths: StorePaths) -> list[GroupFile]:
    """The documents that describe an image; that of its group is the last."""
    group, found = paths.store, []
    for folder in (*reversed(group.parents), group):
        prefix = "" if folder == group else f"{group.relative_to(folder).as_posix()}/"
        name = _CONSOLIDATED if paths.zarr_version == 2 else "zarr.json"
        file = folder / name
        if (paths.zarr_version == 2 or prefix) and _describes(file, prefix):
            found.append(GroupFile(file, prefix))
    return [*found, _own(paths)]


def _own(paths: StorePaths) -> GroupFile:
    return GroupFile(paths.group[0 if paths.zarr_version == 3 else 1], "")


def _describes(file: Path, prefix: str) -> bool:
    """Whether a file has consolidated metadata of a group."""
    document = (read_record(file) if file.is_file() else None) or {}
    if file.name == "zarr.json":
        document = document.get("consolidated_metadata") or {}
    nodes = document.get("metadata") or {}
    names = (
        [prefix[:-1]] if file.name == "zarr.json" else [prefix + n for n in (".zattrs", ".zgroup")]
    )
    return any(name in nodes for name in names)


def _read(file: Path) -> tuple[bytes, Document]:
    try:
        content = file.read_bytes()
        return content, json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{file}: it cannot be read ({error})") from error


def _keep(paths: StorePaths, place: GroupFile, content: bytes) -> bytes:
    """Keep a copy of a document before its first change; return that copy."""
    steps = place.prefix.count("/")
    copy = (
        paths.state
        / "original"
        / (f"{steps}-above-{place.file.name}" if steps else place.file.name)
    )
    if not copy.exists():
        temporary = copy.with_name(copy.name + ".tmp")
        try:
            make_folder(copy.parent)
            _write(temporary, content)
            os.replace(temporary, copy)
            sync(copy.parent)
        except OSError as error:
            raise cannot_be_written(copy, error) from error
    return copy.read_bytes()


def _replace(file: Path, before: bytes, after: bytes) -> None:
    """Replace a document by a new one, unless another program has changed it meanwhile."""
    temporary = file.with_name(file.name + _UNFINISHED)
    try:
        _write(temporary, after)
        shutil.copymode(file, temporary)
        with suppress(PermissionError):  # Only root can give a file to its former owner.
            os.chown(temporary, file.stat().st_uid, file.stat().st_gid)
        if file.read_bytes() != before:
            raise StoreError(
                f"{file} was changed by another program at this moment; it was left as it is: run "
                "again when that has ended"
            )
        os.replace(temporary, file)
        sync(file.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_be_written(file, error) from error


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _bytes(document: Document, before: bytes) -> bytes:
    """A document as JSON, indented as it was before."""
    indent = re.match(rb"\s*\{\r?\n( *)", before)
    width = len(indent[1]) if indent else None
    text = json.dumps(document, indent=width, ensure_ascii=before.isascii())
    return (text + ("\n" if before.endswith(b"\n") else "")).encode()


def _text(document: Document) -> str:
    """A document as text, to compare documents with NaN, and the order of members."""
    return json.dumps(document)
