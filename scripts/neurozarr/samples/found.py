"""The sources of a run without a sample sheet, and the directories of their stores."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from neurozarr.bids import dataset
from neurozarr.errors import ConfigError, SourceError
from neurozarr.samples.names import folder_name
from neurozarr.sources import family_of
from neurozarr.sources.paths import is_glob, sources
from neurozarr.zarr.documents import Document

#: Suffixes (in lower case) of voxel files, and of the header files that name both files of a pair.
_PAIRS = {
    ".img": ".hdr",
    ".img.gz": ".hdr.gz",
    ".rec": ".par",
    ".dat": ".mih",
    ".brik": ".head",
    ".brik.gz": ".head",
}


class Found(NamedTuple):
    """A source, without a line in a sheet.

    Attributes
    ----------
    path
        Its path.
    folder
        Directory of its store below the output, such as "sub-01/anat"; "" for the output itself.
    bids
        Directory of the BIDS data set that it is an image of, or None.
    bids_folder
        Directory of the derivative below the output.
    """

    path: str
    folder: str = ""
    bids: str | None = None
    bids_folder: str = ""


def sources_of(options: Document, absent: list[str] | None) -> Iterator[Found]:
    """Yield what the option ``source`` stands for.

    Parameters
    ----------
    options
        All options, with defaults.
    absent
        A list if files need not exist yet: it is extended by the reasons for which sources are not
        known. None if a glob that matches nothing is an error.

    Raises
    ------
    ConfigError
        A glob or a filter matches nothing, or options contradict each other.
    """
    patterns = options["source"]
    patterns = [patterns] if isinstance(patterns, str) else patterns
    filters = filters_of(options)
    is_bids = False
    for pattern in patterns:
        for path, folder in _matches(pattern, options, absent):
            try:
                is_found = os.path.isdir(path) and dataset.is_dataset(path)
                if not is_found and os.path.isdir(path) and family_of(path) is None:
                    dataset.check_part(path)
                    dataset.check_around(path)
            except SourceError as error:
                raise ConfigError(f"config: source {error}") from None
            if is_found:
                is_bids = True
                _check_outside(path, options["output"])
                yield from _images(path, _of_directory(pattern, path, folder, options), filters)
                continue
            if options["output_tree"] and not is_glob(pattern):
                raise ConfigError(
                    f"config: output_tree is true, but source {path} has no wildcards, which say "
                    "where the tree begins: give a pattern in quotes, such as 'scans/**/*.nii.gz'"
                )
            yield Found(path, folder)
    if filters and not is_bids:
        raise ConfigError(
            f"config: bids.{next(iter(filters))} is given, but source is not the directory of a "
            f"BIDS data set: {', '.join(patterns)}"
        )


def _check_outside(root: str, output: str) -> None:
    """Raise a ConfigError if stores would be written among the images of a data set."""
    inside = os.path.relpath(os.path.realpath(output), os.path.realpath(root)).split("/")[0]
    if inside == "." or inside.startswith("sub-"):
        raise ConfigError(
            f"config: output {output} is among the images of the BIDS data set {root}: choose "
            f"another, such as {os.path.join(root, 'derivatives/neurozarr')}"
        )


def filters_of(options: Document) -> dict[str, Sequence[str]]:
    """The filters of BIDS images that are given, each as a list."""
    given = {name: value for name, value in options["bids"].items() if value is not None}
    return {
        name: value.split(",") if isinstance(value, str) else value for name, value in given.items()
    }


def _matches(
    pattern: str, options: Document, absent: list[str] | None
) -> Iterator[tuple[str, str]]:
    """Yield each path that a pattern stands for, and the directory of its store."""
    if not is_glob(pattern):
        yield pattern, ""
        return
    paths = sources(pattern, options["output"])
    if not paths:
        reason = f"config: source {pattern!r} matches no file"
        if absent is None:
            raise ConfigError(reason)
        absent.append(reason)
    voxel_files = _voxel_files(paths)
    for path in (path for path in paths if path not in voxel_files):
        yield path, _folder(pattern, path) if options["output_tree"] else ""


def _folder(pattern: str, path: str) -> str:
    """Directory of a file, relative to the directories of its pattern before the first wildcard."""
    start = pattern
    while glob.has_magic(start):
        start = os.path.dirname(start)
    folder = os.path.relpath(os.path.dirname(path) or ".", start or ".")
    if folder.split("/")[0] == "..":
        raise ConfigError(
            f"config: source {pattern!r}: with output_tree, matches must lie below {start or '.'}, "
            f"but {path} does not"
        )
    return "/".join(folder_name(part) for part in folder.split("/") if part != ".")


def _of_directory(pattern: str, path: str, folder: str, options: Document) -> str:
    """Directory of the derivative of a data set: its own, if a glob matches several."""
    if not (options["output_tree"] and is_glob(pattern)):
        return ""
    return "/".join(part for part in (folder, folder_name(os.path.basename(path))) if part)


def _images(root: str, folder: str, filters: Mapping[str, Sequence[str]]) -> Iterator[Found]:
    try:
        found = dataset.images(root, filters)
    except SourceError as error:
        raise ConfigError(f"config: source {error}") from None
    for image in found:
        below = [folder_name(part) for part in image.folder.split("/")]
        yield Found(image.path, "/".join(filter(None, [folder, *below])), root, folder)


def _voxel_files(paths: list[str]) -> set[str]:
    """Return the voxel files of pairs (such as .hdr and .img) whose header file is also listed."""
    known = {path.lower() for path in paths}
    return {
        path
        for path in paths
        for voxels, header in _PAIRS.items()
        if path.lower().endswith(voxels) and path.lower().removesuffix(voxels) + header in known
    }
