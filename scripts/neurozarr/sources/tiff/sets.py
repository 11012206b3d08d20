"""OME-TIFF files, alone or in sets, and where their OME-XML is (OME-TIFF specification 6.x)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from xml.etree import ElementTree

from neurozarr.errors import SourceError
from neurozarr.files import check_beside, check_file, check_kind
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.extras import library
from neurozarr.sources.tiff import segments

#: End of the name of a file with the OME-XML of a set.
COMPANION = ".companion.ome"
#: Maximum size of such a file, in bytes.
_MAX_BYTES = 2**26
#: tifffile's kinds of files that have their own metadata, which OME-XML replaces.
_NOT = {"is_shaped": False, "is_mmstack": False, "is_ndtiff": False}


class Opened(NamedTuple):
    """An opened TIFF file.

    Attributes
    ----------
    file
        The TiffFile.
    path
        The file with the metadata: the same one, or the companion or the master of its set.
    root
        Its OME-XML; None if it has none.
    """

    file: Any
    path: str
    root: ElementTree.Element | None


@contextmanager
def tiff(path: str, **options: Any) -> Iterator[Any]:
    """Open a file by tifffile; errors in the block become SourceErrors."""
    tifffile = library("tifffile", "tiff", path)
    library("imagecodecs", "tiff", path)
    check_file(path)
    with (
        as_source_errors(path, "not a TIFF that tifffile can read"),
        tifffile.TiffFile(path, **options) as file,
    ):
        yield file


@contextmanager
def opened(path: str) -> Iterator[Opened]:
    """Open a TIFF file or a companion file, with the metadata of its set.

    Raises
    ------
    SourceError
        A file cannot be read, or the metadata are missing or damaged.
    """
    if path.lower().endswith(COMPANION):
        with _by_companion(path) as found:
            yield found
        return
    with tiff(path) as file:
        if file.is_micromanager:
            check_neighbours(path)
        root = parsed(path, file.ome_metadata) if file.is_ome else None
        name = None if root is None else _metadata_file(root)
        if root is not None and name is None:
            _check_kinds(path, root)
            _check_uuids(path, root)
        if name is None:
            yield Opened(file, path, root)
            return
    other = os.path.join(os.path.dirname(path), name)
    if not os.path.exists(other):
        raise SourceError(
            f"{path}: the metadata of this OME-TIFF set are in {name}, which is missing"
        )
    if other.lower().endswith(COMPANION):
        with _by_companion(other) as found:
            yield found
        return
    with tiff(other) as file:
        root = parsed(other, file.ome_metadata) if file.is_ome else None
        if root is None or _metadata_file(root) is not None:
            raise SourceError(f"{path}: the metadata of this OME-TIFF set are not in {name}")
        _check_kinds(other, root)
        _check_uuids(other, root)
        yield Opened(file, other, root)


@contextmanager
def _by_companion(path: str) -> Iterator[Opened]:
    """Open a set by its companion file: the first of its files is opened with its OME-XML."""
    check_file(path)
    if os.path.getsize(path) > _MAX_BYTES:
        raise SourceError(f"{path}: damaged: a document of more than {_MAX_BYTES} bytes")
    with open(path, "rb") as document:
        root = parsed(path, document.read())
    folder = _check_kinds(path, root)
    for planes in root.iter():
        if tag(planes) == "TiffData" and not any(x.get("FileName") for x in planes):
            raise SourceError(f"{path}: damaged: some of its planes are in no file that it names")
    files = [os.path.join(folder, name) for name in files_of_set(root)]
    first = next(filter(os.path.exists, files), None)
    if first is None:
        listed = ", ".join(map(os.path.basename, files)) or "it names none"
        raise SourceError(f"{path}: none of the files with its planes exists ({listed})")
    for element in root.iter():
        if tag(element) == "UUID" and (name := element.get("FileName")):
            # tifffile finds files by their UUID, which hand-made companions leave out or repeat.
            element.text = os.path.join(folder, name)
            element.set("FileName", element.text)
    with tiff(first, omexml=ElementTree.tostring(root, "unicode"), **_NOT) as file:
        yield Opened(file, path, root)


def parsed(path: str, xml: str | bytes) -> ElementTree.Element:
    """Parse OME-XML.

    Raises
    ------
    SourceError
        It is damaged.
    """
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise SourceError(f"{path}: its OME-XML is damaged ({error})") from None


def tag(element: ElementTree.Element) -> str:
    """The name of an element without its namespace, which depends on the version of OME-XML."""
    return element.tag.rpartition("}")[2]


def files_of_set(root: ElementTree.Element) -> list[str]:
    """Names of the files that an OME-XML document lists for its planes."""
    names = [element.get("FileName") for element in root.iter() if tag(element) == "UUID"]
    return list(dict.fromkeys(name for name in names if name))


def absent(path: str, root: ElementTree.Element) -> list[str]:
    """Names of the files of a set that do not exist, after checking that the others are whole.

    tifffile treats planes in files that it cannot read as missing.

    Raises
    ------
    SourceError
        A file exists, but is not a TIFF, or is damaged.
    """
    folder = os.path.dirname(os.path.realpath(path))
    names = files_of_set(root)
    missing = [name for name in names if not os.path.exists(os.path.join(folder, name))]
    for name in names:
        if name not in missing:
            with tiff(os.path.join(folder, name), **_NOT, _multifile=False) as file:
                check_end(os.path.join(folder, name), file)
    return [os.path.basename(name) for name in missing]


def check_end(path: str, file: Any) -> None:
    """Check that all directories of a TiffFile could be read.

    tifffile treats a directory that it cannot read as the end of the file.

    Raises
    ------
    SourceError
        There are none, or one could not be read.
    """
    if not len(file.pages):
        raise SourceError(f"{path}: it holds no pages; the file may be cut short or damaged")
    last = file.pages[len(file.pages) - 1]
    if last.offset > 0:
        _, after = segments.entries(file.filehandle.fileno(), last.offset, file.tiff)
        if after and not file.is_lsm:
            raise SourceError(
                f"{path}: cut short or damaged: the directory of page {len(file.pages)}, at byte "
                f"{after} of {file.filehandle.size}, cannot be read"
            )


def check_neighbours(path: str) -> None:
    """Check that neighbours of a Micro-Manager file, which tifffile opens by name, are files."""
    check_beside(path)
    with os.scandir(os.path.dirname(os.path.realpath(path))) as entries:
        for entry in entries:
            if not entry.is_dir() and entry.name.endswith((".tif", ".index")):
                check_kind(entry.path)


def _check_kinds(path: str, root: ElementTree.Element) -> str:
    """The directory of a set, after checking that its members, which tifffile opens, are files."""
    folder, names = os.path.dirname(os.path.realpath(path)), files_of_set(root)
    # A single name may be the one that the file had when it was written.
    if len(names) > 1 or path.lower().endswith(COMPANION):
        check_beside(path)
    for name in names:
        check_kind(os.path.join(folder, name))
    return folder


def _check_uuids(path: str, root: ElementTree.Element) -> None:
    """Raise a SourceError if files of a set, which tifffile finds by their UUIDs, have the same."""
    files: dict[str | None, str] = {}
    for element in root.iter():
        name = element.get("FileName") if tag(element) == "UUID" else None
        if name and files.setdefault(element.text, name) != name:
            raise SourceError(
                f"{path}: damaged: {files[element.text]} and {name} have the same UUID, "
                f"{element.text}"
            )


def _metadata_file(root: ElementTree.Element) -> str | None:
    """Name of the file with the metadata of the set, if this file is BinaryOnly; else None."""
    only = next((child for child in root if tag(child) == "BinaryOnly"), None)
    return None if only is None else str(only.get("MetadataFile"))
