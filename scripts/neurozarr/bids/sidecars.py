"""The files with metadata of an image in a BIDS data set, as the inheritance principle gives them.

BIDS 1.10, "The Inheritance Principle": a file applies to an image if it lies in a directory of its
path within the data set, and has the same suffix and no entities that the image does not have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurozarr.bids.dataset import parse
from neurozarr.errors import SourceError
from neurozarr.files import check_file

#: What is merged: the values of a file replace those of files that apply to more images.
_MERGED = ".json"
#: Of what only the file that applies to the fewest images counts: directions of diffusion images.
_NEAREST = (".bval", ".bvec")


def texts(root: str, image: str) -> dict[str, str]:
    """Contents of the files that belong beside an image, by their endings.

    Parameters
    ----------
    root
        Directory of the data set.
    image
        Path of the image.

    Returns
    -------
    dict[str, str]
        ``.json``: the metadata of all files that apply; if it is one, its text as it is.
        ``.bval`` and ``.bvec``: the text of the file. Endings of which there is no file are left
        out.

    Raises
    ------
    SourceError
        A file cannot be read, or is damaged.
    """
    path = os.path.relpath(image, root)
    found: dict[str, str] = {}
    documents = list(_applicable(root, path, _MERGED))
    read = [_read(file) for file in documents]
    objects = [_object(file, text) for file, text in zip(documents, read, strict=True)]
    if len(read) == 1:
        found[_MERGED] = read[0]
    elif read:
        merged: dict[str, Any] = {}
        for document in objects:
            merged |= document
        found[_MERGED] = json.dumps(merged, indent=2, ensure_ascii=False) + "\n"
    for ending in _NEAREST:
        files = list(_applicable(root, path, ending))
        if files:
            found[ending] = _read(files[-1])
    return found


def _applicable(root: str, image: str, ending: str) -> Iterator[Path]:
    """Files of an ending that apply to an image, that which applies to most images first."""
    named = parse(image)
    *folders, _ = Path(image).parts
    for depth in range(len(folders) + 1):
        folder = Path(root, *folders[:depth])
        for name, entities in _named(folder, folder.stat().st_mtime_ns, ending):
            if entities.get("suffix") == named["suffix"] and all(
                named.get(key) == value for key, value in entities.items()
            ):
                yield folder / name


@lru_cache(maxsize=4096)
def _named(folder: Path, changed: int, ending: str) -> list[tuple[str, dict[str, str]]]:
    """Files of an ending in a directory, with what their names say; the least said first.

    BIDS forbids two files that apply in one directory; if there are, that which says most counts.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(ending)]
    found = [(name, parse(name)) for name in names]
    own = [
        (name, {key: value for key, value in entities.items() if key != "ext"})
        for name, entities in found
        if entities.get("ext") == ending
    ]
    return sorted(own, key=lambda named: (len(named[1]), named[0]))


def _read(file: Path) -> str:
    check_file(file)
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise SourceError(f"{file}: it cannot be read ({error.strerror})") from None


def _object(file: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: damaged JSON ({error})") from None
    if not isinstance(found, dict):
        raise SourceError(f"{file}: not a JSON object")
    return found
