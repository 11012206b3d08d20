"""The files with metadata of an image in a BIDS data set, as the inheritance principle gives them.

BIDS 1.10, "The Inheritance Principle": a file applies to an image if it lies in a directory of its
path within the data set, and has the same suffix and no entities that the image does not have.
"""

from __future__ import annotations

import json
import os
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
    applicable = _applicable(root, os.path.relpath(image, root))
    found = {ending: _read(applicable[ending][-1]) for ending in _NEAREST if applicable[ending]}
    documents = {file: _read(file) for file in applicable[_MERGED]}
    objects = [_object(file, text) for file, text in documents.items()]
    if len(objects) == 1:
        (found[_MERGED],) = documents.values()
    elif objects:
        merged = {key: value for document in objects for key, value in document.items()}
        found[_MERGED] = json.dumps(merged, indent=2, ensure_ascii=False) + "\n"
    return found


def _applicable(root: str, image: str) -> dict[str, list[str]]:
    """Files that apply to an image, by ending; that which applies to most images first.

    BIDS forbids two that apply in one directory; if there are, that whose name says most counts.
    """
    named = parse(image)
    found: dict[str, list[str]] = {ending: [] for ending in (_MERGED, *_NEAREST)}
    folder = root
    for below in ("", *image.split("/")[:-1]):
        folder = os.path.join(folder, below)
        for ending, name, entities in _named(folder, os.stat(folder).st_mtime_ns):
            if entities["suffix"] == named["suffix"] and entities.items() <= named.items():
                found[ending].append(os.path.join(folder, name))
    return found


@lru_cache(maxsize=4096)
def _named(folder: str, changed: int) -> list[tuple[str, str, dict[str, str]]]:
    """Ending, name and entities of each metadata file in a directory, by number of entities.

    ``changed`` is the time of its last change.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith((_MERGED, *_NEAREST))]
    found = []
    for name in names:
        entities = parse(name)
        ending = entities.pop("ext", "")
        if "suffix" in entities and ending in (_MERGED, *_NEAREST):
            found.append((ending, name, entities))
    return sorted(found, key=lambda named: (len(named[2]), named[1]))


def _read(file: str) -> str:
    check_file(file)
    try:
        return Path(file).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise SourceError(f"{file}: it cannot be read ({error.strerror})") from None


def _object(file: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: damaged JSON ({error})") from None
    if not isinstance(found, dict):
        raise SourceError(f"{file}: not a JSON object")
    return found
