"""The images of a BIDS data set, by their names."""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from neurozarr.errors import ConfigError, SourceError
from neurozarr.files import check_kind
from neurozarr.sources.extras import library

logger = logging.getLogger(__name__)

#: Keys in the names of files, by the names of filters (BIDS 1.10, appendix "Entities").
FILTERS = {
    "subject": "sub",
    "session": "ses",
    "datatype": "datatype",
    "suffix": "suffix",
    "task": "task",
    "acquisition": "acq",
    "run": "run",
    "space": "space",
    "description": "desc",
}
#: Endings of images, and those that only microscopy has (BIDS 1.10, "Microscopy").
_IMAGES = (".nii", ".nii.gz")
_MICROSCOPY = (".ome.tif", ".ome.btf", ".ome.zarr", ".tif", ".png")
#: Suffix of pictures that show a sample or electrodes.
_PHOTO = "photo"
_DESCRIPTION = "dataset_description.json"
#: Number of names that a message lists.
_MAX_LISTED = 3
#: Number of files by whose names a directory without a description is recognized.
_LOOKED_AT = 10_000


class Image(NamedTuple):
    """An image of a data set.

    Attributes
    ----------
    path
        Its path.
    folder
        Its directory within the data set, such as "sub-01/anat".
    entities
        What its name says, by the keys of BIDS, such as ``{"sub": "01", "suffix": "T1w"}``.
    """

    path: str
    folder: str
    entities: dict[str, str]


def parse(path: str) -> dict[str, str]:
    """Entities, ``suffix``, ``ext`` and ``datatype`` of a file, by its path in a data set.

    Raises
    ------
    SourceError
        bids2table is not installed.
    """
    return dict(library("bids2table", "bids", path).parse_bids_entities(path))


def is_dataset(folder: str) -> bool:
    """Whether a directory is a BIDS data set.

    It is if it has the description of one, or an image in a place that BIDS has for it, such as
    ``sub-01/anat/sub-01_T1w.nii.gz``. Directories ``sub-*`` alone may be of DICOM files.
    """
    if not os.path.isdir(folder):
        return False
    if "BIDSVersion" in read_description(folder):
        return True
    names = islice(_files(folder), _LOOKED_AT)
    likely = (parse(path) for path in names if _may_be_image(path))
    return any("datatype" in named and _is_image(named) for named in likely)


def read_description(folder: str) -> dict[str, Any]:
    """Read the description of a data set; empty if it has none, or a damaged one.

    Raises
    ------
    SourceError
        It cannot be read, or its content is elsewhere.
    """
    path = os.path.join(folder, _DESCRIPTION)
    check_kind(path)
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        reason = "" if isinstance(found, dict) else "not a JSON object"
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SourceError(f"{path}: it cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        reason = str(error)
    if reason:
        logger.warning("%s: damaged (%s): it is treated as missing", path, reason)
        return {}
    return dict(found)


def images(root: str, filters: Mapping[str, Sequence[str]]) -> list[Image]:
    """List the images of a data set, in alphabetical order of their paths.

    Parameters
    ----------
    root
        Directory of the data set. Data sets within it, such as those in ``derivatives``, are not
        looked at.
    filters
        Allowed values, by the names in ``FILTERS``; images must have one of each.

    Raises
    ------
    ConfigError
        There are no images, or a value or all values together match none; it says which there are.
    SourceError
        bids2table is not installed, or a directory cannot be read.
    """
    likely = {path: parse(path) for path in _files(root) if _may_be_image(path)}
    named = {path for path, found in likely.items() if found.keys() >= {"sub", "suffix"}}
    if unnamed := [path for path in likely if path not in named]:
        logger.warning(
            "source %s: %d images are left out, because their names are not those of BIDS: %s",
            root,
            len(unnamed),
            _listed(unnamed),
        )
    empty = _empty_subjects(root)
    if empty:
        logger.warning(
            "source %s: %d of its subjects have no files: %s; if they are data sets of DataLad, "
            "install them by datalad get -n",
            root,
            len(empty),
            _listed(empty),
        )
    found = [
        Image(os.path.join(root, path), os.path.dirname(path), entities)
        for path, entities in sorted(likely.items())
        if path in named and _is_image(entities)
    ]
    if not found:
        raise ConfigError(
            f"config: source {root}: no image of a BIDS data set is in its directories sub-*: "
            "there are no files such as sub-01/anat/sub-01_T1w.nii.gz; for images elsewhere in it, "
            f"give a glob such as '{os.path.join(glob.escape(root), '**/*.nii.gz')}' and "
            "output_tree: true"
        )
    return _filtered(root, found, filters)


def _filtered(
    root: str, found: Sequence[Image], filters: Mapping[str, Sequence[str]]
) -> list[Image]:
    kept = list(found)
    for name, wanted in filters.items():
        key = FILTERS[name]
        for value in wanted:
            if not any(_matches(image, key, value) for image in found):
                raise ConfigError(
                    f"config: bids.{name} is {value!r}, but no image of {root} has it; there are: "
                    f"{_values(found, key) or f'no images with a {name}'}"
                )
        left = [image for image in kept if any(_matches(image, key, value) for value in wanted)]
        if not left:
            raise ConfigError(
                f"config: bids.{name} is {', '.join(wanted)}, but no image of {root} has it and "
                f"all of the other filters; with these, there are: {_values(kept, key) or 'none'}"
            )
        kept = left
    return kept


def _matches(image: Image, key: str, value: str) -> bool:
    found = image.entities.get(key)
    # An index may have zeros before it, which do not count (BIDS 1.10, definition of "index").
    if key == "run" and found is not None and found.isdecimal() and value.isdecimal():
        return int(found) == int(value)
    return found == value


def _values(found: Iterable[Image], key: str) -> str:
    return ", ".join(sorted({image.entities[key] for image in found if key in image.entities}))


def _is_image(entities: Mapping[str, str]) -> bool:
    endings = _IMAGES + _MICROSCOPY if entities.get("datatype") == "micr" else _IMAGES
    return entities.get("ext") in endings and "sub" in entities and entities.get("suffix") != _PHOTO


def _may_be_image(path: str) -> bool:
    """Whether a file may be an image by its ending, which is fast to tell."""
    return path.endswith(_IMAGES) or (path.endswith(_MICROSCOPY) and "/micr/" in path)


def _files(root: str) -> Iterator[str]:
    """Paths in a data set of the files of all subjects, and of directories that are a file each.

    Links are followed, but not to a directory that contains them.

    Raises
    ------
    SourceError
        A directory cannot be read.
    """
    for entry in _entries(root):
        if entry.name.startswith("sub-") and entry.is_dir():
            yield from _below(root, entry.name, frozenset())


def _below(root: str, folder: str, above: frozenset[str]) -> Iterator[str]:
    place = os.path.join(root, folder)
    real = os.path.realpath(place)
    if real in above:
        return
    for entry in _entries(place):
        path = f"{folder}/{entry.name}"
        if entry.name.startswith("."):
            continue
        # A directory with an ending, such as .ome.zarr, is a file for BIDS.
        if "." not in entry.name and entry.is_dir():
            yield from _below(root, path, above | {real})
        else:
            yield path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a directory, in alphabetical order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(
            f"{folder}: the directory cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None


def _empty_subjects(root: str) -> list[str]:
    """Names of subjects without a file: empty directories, and links that lead nowhere."""
    subjects = [entry for entry in _entries(root) if entry.name.startswith("sub-")]
    return [
        entry.name
        for entry in subjects
        if (entry.is_symlink() and not os.path.exists(entry.path))
        or (entry.is_dir() and next(iter(_entries(entry.path)), None) is None)
    ]


def _listed(names: Sequence[str]) -> str:
    """The first names, as a message lists them."""
    return ", ".join([*names[:_MAX_LISTED], *(["..."] if names[_MAX_LISTED:] else [])])


def check_part(path: str) -> None:
    """Say what to write instead of the directory of a subject, a session or a datatype.

    Parameters
    ----------
    path
        A directory that is not itself a source.

    Raises
    ------
    ConfigError
        It is a directory within those of the subjects of a data set.
    """
    whole = os.path.abspath(path).split("/")
    subjects = [at for at, name in enumerate(whole) if at and name.startswith("sub-")]
    for at in reversed(subjects):
        if is_dataset(root := "/".join(whole[:at]) or "/"):
            _refuse_part(path, root, whole[at:])


def _refuse_part(path: str, root: str, below: Sequence[str]) -> None:
    """Raise a ConfigError that says how to choose a directory of a data set by filters."""
    subject, *others = below
    filters = {"subject": subject.removeprefix("sub-")}
    if others and others[0].startswith("ses-"):
        filters["session"] = others.pop(0).removeprefix("ses-")
    if others:
        filters["datatype"] = others[0]
    said = ", ".join(f'{name}: "{value}"' for name, value in filters.items())
    source = os.path.relpath(root)
    raise ConfigError(
        f"config: source {path}: a directory of the BIDS data set {source}: write source: {source} "
        f"and bids: {{{said}}}"
    )


def check_around(path: str) -> None:
    """Say what to write instead of a directory of data sets, such as ``derivatives``.

    Parameters
    ----------
    path
        A directory that is not itself a source.

    Raises
    ------
    ConfigError
        There are data sets in it.
    """
    folders = [entry for entry in _entries(path) if entry.name[0] != "." and entry.is_dir()]
    names = [entry.name for entry in folders if is_dataset(entry.path)]
    if names:
        raise ConfigError(
            f"config: source {path}: a directory of BIDS data sets ({_listed(names)}): write "
            f"source: {os.path.join(path, names[0])} for one of them, or source: "
            f"'{os.path.join(glob.escape(path), '*')}' and output_tree: true for all"
        )
