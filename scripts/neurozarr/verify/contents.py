"""Whether what is read back from a store is what was written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from neurozarr import nifti
from neurozarr.drivers import open_array
from neurozarr.nifti.fit import COLOURS, fit_header
from neurozarr.plan.slabs import sub_block
from neurozarr.regions import Region, factors, parent_region, regions
from neurozarr.run import receipts
from neurozarr.run.paths import LevelPaths, StorePaths
from neurozarr.run.receipts import Damage, region_of
from neurozarr.sources import Source
from neurozarr.verify.metadata import Planned
from neurozarr.voxels.copy import reduced, summarize_source
from neurozarr.voxels.kernels import Mode
from neurozarr.voxels.summary import checksum
from neurozarr.voxels.threads import for_each
from neurozarr.zarr.abc import ZarrArray
from neurozarr.zarr.chunks import chunk_keys
from neurozarr.zarr.documents import HEADER, Document, read_json


def header_problem(
    folder: Path, base: Path, *, checksum: int, axes: str, driver: str
) -> str | None:
    """What is wrong with a NIfTI header: by its checksum, by an array, and by its JSON form.

    Parameters
    ----------
    folder
        Directory of the header's array.
    base
        Directory of the array of level 0.
    checksum
        XXH3 of the header.
    axes
        Names of the axes of level 0.
    driver
        Library that reads them.
    """
    try:
        array = open_array(folder, "r", driver=driver)
        raw = array[...].tobytes()
        level = open_array(base, "r", driver=driver)
    except Exception as error:  # Each driver has its own.
        return f"the NIfTI header cannot be read ({error})"
    if xxhash.xxh3_64_intdigest(raw) != checksum:
        return "the NIfTI header is not the one that was planned"
    if fit_header(raw, axes=axes, shape=level.shape, dtype=level.dtype) != raw:
        return "the NIfTI header does not say what the array of level 0 is"
    stated = {name: value for name, value in array.attrs.items() if name != COLOURS}
    if stated != nifti.header_json(raw):
        return "the JSON form of the NIfTI header is not that of its bytes"
    return None


def check_header(paths: StorePaths, planned: Planned, *, driver: str) -> list[Damage]:
    """What is wrong with the NIfTI header of an image: see `header_problem`."""
    folder, checksum = paths.store / HEADER, planned.header_checksum
    assert checksum is not None
    problem = header_problem(
        folder, paths.level(0).folder, checksum=checksum, axes=planned.axes, driver=driver
    )
    return [Damage(path=folder, problem=problem, redo=paths.header[0])] if problem else []


@dataclass(frozen=True)
class StoredLevel:
    """A level as it stands in a store: where it lies, its array, its metadata and its blocks."""

    paths: LevelPaths
    array: ZarrArray
    document: Document
    blocks: int

    def files(self, region: Region) -> set[Path]:
        """The files that hold the voxels of a region."""
        return {self.paths.folder / key for key in chunk_keys(self.document, region)}

    def damage(self, key: str, problem: str, redo: Path) -> Damage:
        """What is wrong with one of its files."""
        return receipts.damage_of_file(self.paths, self.document, key, problem, redo)

    def problem(self, problem: str, redo: Path) -> Damage:
        """What is wrong with the level."""
        number = int(self.paths.number)
        return Damage(path=self.paths.folder, problem=problem, redo=redo, level=number)


def check_bytes(
    level: StoredLevel, *, missing: Collection[Path] = (), threads: int = 1
) -> list[Damage]:
    """Which files of a level have other bytes than were written, beside those that are missing."""
    wrong = []
    for receipt in level.paths.block_receipts(level.blocks):
        block = read_json(receipt)
        keys = list(chunk_keys(level.document, region_of(block)))
        known = {
            key: then
            for key, then in zip(keys, block["checksums"], strict=True)
            if level.paths.folder / key not in missing
        }
        files = [level.paths.folder / key for key in known]
        found = receipts.file_checksums(files, threads=threads)
        wrong += [
            level.damage(key, "its bytes are not those that were written", receipt)
            for (key, then), now in zip(known.items(), found, strict=True)
            if now != then
        ]
    return wrong


def check_voxels(
    level: StoredLevel,
    parent: StoredLevel | None,
    *,
    mode: Mode,
    damaged: Collection[Path] = (),
    threads: int = 1,
) -> list[Damage]:
    """Where the voxels of a level are not those that were written, or not its parent level's.

    Parameters
    ----------
    level, parent
        The level, and its parent level; None for level 0.
    mode
        How a window of voxels became one.
    damaged
        Files that are known to be damaged, of both levels: voxels in them, and voxels that were
        made from them, are left out.
    threads
        How many sub-blocks are read at once.
    """
    array = level.array
    unit = array.shards or array.chunks

    def check(part: Region) -> tuple[int | None, list[tuple[Region, str]]]:
        """Checksum of a part, None where it is not known; and where something is wrong in it."""
        if not level.files(part).isdisjoint(damaged):
            return None, []
        try:
            voxels = np.ascontiguousarray(array[part])
        except Exception as error:  # Each codec has its own.
            return None, [(part, f"cannot be read ({error})")]
        found = checksum(voxels, part, unit, array.shape)
        if parent is None:
            return found, []
        above = parent_region(part, factors(parent.array.shape, array.shape))
        if not parent.files(above).isdisjoint(damaged):
            return found, []
        expected = reduced(parent.array, array, part, mode)
        if np.array_equal(voxels.view(np.uint8), expected.view(np.uint8)):
            return found, []
        raw = f"V{voxels.dtype.itemsize}"
        differs = voxels.view(raw) != expected.view(raw)
        return found, [
            (inner, "its voxels are not those that its parent level gives")
            for inner in regions(part, unit)
            if differs[_inside(inner, part)].any()
        ]

    wrong = []
    for receipt in level.paths.block_receipts(level.blocks):
        block = read_json(receipt)
        parts = list(regions(region_of(block), sub_block(array.chunks, unit, array.dtype)))
        results = for_each(check, parts, threads=threads)
        for where, problem in (item for _, items in results for item in items):
            key = next(chunk_keys(level.document, where))
            wrong.append(level.damage(key, problem, receipt))
        checksums = [found for found, _ in results if found is not None]
        if len(checksums) == len(parts) and sum(checksums) % 2**64 != block["checksum"]:
            problem = f"the voxels of {block['region']} are not those that were written"
            wrong.append(level.problem(problem, receipt))
    return sorted(wrong, key=str)


def check_source(
    source: Source,
    level: StoredLevel,
    *,
    slab: Sequence[int] | None,
    threads: int = 1,
) -> list[Damage]:
    """Whether the voxels of a source are those that level 0 was made from.

    Parameters
    ----------
    source
        The volume as it is now.
    level
        Level 0.
    slab
        Shape of what is read at once of the source; None where each thread reads for itself.
    threads
        How many sub-blocks are read at once.
    """
    for receipt in level.paths.block_receipts(level.blocks):
        block = read_json(receipt)
        region = region_of(block)
        found = summarize_source(source, level.array, region=region, slab=slab, threads=threads)
        if found.checksum != block["checksum"]:
            problem = (
                f"the voxels of {block['region']} are not those of the source any more, although "
                "its size and its time are the same"
            )
            return [level.problem(problem, level.paths.document)]
    return []


def _inside(inner: Region, outer: Region) -> Region:
    """A region of an array, from the start of another one that holds it."""
    return tuple(
        slice(side.start - part.start, side.stop - part.start)
        for side, part in zip(inner, outer, strict=True)
    )
