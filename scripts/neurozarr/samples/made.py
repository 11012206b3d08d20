"""Samples whose sources are made by rules of the workflow that uses this one, and may not exist."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import xxhash

from neurozarr.run.paths import StorePaths
from neurozarr.samples.sample import Sample
from neurozarr.samples.settings import RunSettings
from neurozarr.sources import SUFFIXES, dcm2niix, family_of
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.paths import PLACE, is_address, parts
from neurozarr.zarr.documents import Document

#: Suffixes of the two files of an image that two rules may make.
_PAIRS = ((".hdr", ".img"), (".hdr.gz", ".img.gz"), (".HEAD", ".BRIK"), (".HEAD", ".BRIK.gz"))
#: Endings of the names of files.
_FILES = tuple(ending for ending in SUFFIXES if not ending.endswith((".zarr", ".n5")))
#: Fields of a layout that name directories of the run (see `neurozarr.sources.Layout`).
_PLACES = ("output", "state", "dicom")
#: Groups of options that decide what is in a store.
_DECISIVE = ("zarr", "pyramid", "ome", "dicom", "nifti")


def of_dicom(options: Document, paths: StorePaths) -> Document:
    """Fields of the layout of a DICOM source, from the options of the group ``dicom``."""
    return {"dicom": options | {"version": dcm2niix.version()}, "state": str(paths.state)}


def when_there(sample: Sample, run: RunSettings) -> Sample:
    """Return a sample with all that could not be said of it before its source existed."""
    if sample.place is not None:
        return sample.with_existing(run.paths(sample.name))
    layout, image = sample.layout, sample.label_of
    is_dicom = not is_address(sample.path) and family_of(sample.path) is DicomSource
    if is_dicom and "dicom" not in layout:
        layout = layout | of_dicom(sample.options["dicom"], run.paths(sample.name))
    if image is not None:
        image = vars_of(when_there(Sample(**image), run))
    return replace(sample, layout=layout, label_of=image)


def vars_of(sample: Sample) -> dict[str, Any]:
    """Arguments with which `Sample` makes an equal sample."""
    return {name: getattr(sample, name) for name in Sample.__dataclass_fields__}


def read_paths(sample: Sample) -> Iterator[str]:
    """Yield the paths that a sample is read from, whether they exist or not.

    They are those of its source (of a glob or a pattern, the directory), the other file of a pair,
    the file of `nifti.header`, and those of the image that a label is of.
    """
    for part in parts(sample.path):
        if is_address(part):
            continue
        fixed = re.split(PLACE, part)[0]
        if fixed != part:
            fixed = os.path.dirname(fixed)
        while glob.has_magic(fixed):
            fixed = os.path.dirname(fixed)
        yield part if os.path.exists(part) else fixed or "."
        for pair in _PAIRS:
            for one, other in (pair, pair[::-1]):
                if part.endswith(one):
                    yield part.removesuffix(one) + other
    if header := sample.options["nifti"]["header"]:
        yield header
    if sample.label_of is not None:
        yield from read_paths(Sample(**sample.label_of))


def is_file(path: str) -> bool:
    """Whether a path has the name of a file, not of a store or another directory."""
    return path.lower().endswith(_FILES)


def spellings(path: str) -> list[str]:
    """The ways in which a rule may name a path, which tells files apart by their names."""
    here, normal = os.getcwd(), os.path.normpath(path)
    whole = os.path.normpath(os.path.join(here, normal))
    return list(dict.fromkeys([path, normal, whole.removeprefix(f"{here}/"), whole]))


def digest(sample: Sample, run: RunSettings) -> str:
    """Checksum of the options of a sample and of the run, which decide what becomes of a source."""
    said = vars_of(sample) | {"verify": run.verify}
    del said["existing"], said["refused"], said["bids"]  # Only known when the source is there.
    said["layout"] = {name: sample.layout[name] for name in sample.layout if name not in _PLACES}
    said["label_of"] = sample.label_of and sample.label_of["path"]
    said["options"] = {name: sample.options[name] for name in _DECISIVE}
    return xxhash.xxh3_64_hexdigest(json.dumps(said, sort_keys=True).encode())


def seems_done(sample: Sample, paths: StorePaths, run: RunSettings) -> bool:
    """Whether a store is complete, as far as it can be told without the source, which is gone.

    Its options are those with which the source was read, its metadata and the receipt of its
    verification exist, and so do the arrays of all levels that were created.
    """
    files = [*paths.group, *paths.header, paths.ome_receipt]
    if run.verify != "none":
        files.append(paths.verify_receipt)
    levels = _levels(paths)
    files += [paths.level(level).document for level in levels]
    try:
        same = paths.source_receipt.read_text() == digest(sample, run)
    except OSError:
        return False
    return same and bool(levels) and all(file.exists() for file in files)


def is_exported(sample: Sample, paths: StorePaths) -> bool:
    """Whether the levels to be exported are, of those that were created."""
    wanted = set(sample.options["export"]["levels"]) & set(_levels(paths))
    return all(paths.export(level).exists() for level in wanted)


def _levels(paths: StorePaths) -> list[int]:
    """Numbers of the levels that have receipts."""
    return [int(file.parent.name) for file in paths.state.glob("[0-9]*/array.json")]
