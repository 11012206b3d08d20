"""Verification that reads a store: the bytes of its files, its voxels and its NIfTI header."""

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
from neurozarr.regions import Region, parent_region, regions
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
    """Check a NIfTI header against its checksum, the array of level 0, and its JSON form.

    Parameters
    ----------
    folder
        Directory of the header's array.
    base
        Directory of the array of level 0.
    checksum
        Planned XXH3 checksum of the header.
    axes
        Names of the axes of level 0.
    driver
        Library that reads the arrays.

    Returns
    -------
    str or None
        Description of the first problem; None if there is none.
    """
    try:
        array = open_array(folder, "r", driver=driver)
        raw = array[...].tobytes()
        level = open_array(base, "r", driver=driver)
    except Exception as error:  # Drivers raise different exceptions.
        return f"the NIfTI header cannot be read ({error})"
    if xxhash.xxh3_64_intdigest(raw) != checksum:
        return "the NIfTI header differs from the plan"
    if fit_header(raw, axes=axes, shape=level.shape, dtype=level.dtype) != raw:
        return "the NIfTI header does not match the shape or data type of level 0"
    stated = {name: value for name, value in array.attrs.items() if name != COLOURS}
    if stated != nifti.header_json(raw):
        return "the JSON form of the NIfTI header does not match its bytes"
    return None


def check_header(paths: StorePaths, planned: Planned, *, driver: str) -> list[Damage]:
    """Check the NIfTI header of a store: see `header_problem`.

    Parameters
    ----------
    paths
        Paths of the store.
    planned
        Plan of the image, with the header's checksum.
    driver
        Library that reads the header.

    Returns
    -------
    list of Damage
        Empty if the header is as planned.
    """
    folder, checksum = paths.store / HEADER, planned.header_checksum
    assert checksum is not None
    problem = header_problem(
        folder, paths.level(0).folder, checksum=checksum, axes=planned.axes, driver=driver
    )
    return [Damage(path=folder, problem=problem, redo=paths.header[0])] if problem else []


@dataclass(frozen=True)
class StoredLevel:
    """A level of a store.

    Attributes
    ----------
    paths
        Paths of the level.
    array
        The opened array.
    document
        Metadata of the array.
    blocks
        Number of blocks of the level.
    """

    paths: LevelPaths
    array: ZarrArray
    document: Document
    blocks: int

    def files(self, region: Region) -> set[Path]:
        """Return the chunk files (or shard files) with the voxels of a region."""
        return {self.paths.folder / key for key in chunk_keys(self.document, region)}

    def damage(self, key: str, problem: str, redo: Path) -> Damage:
        """Describe the damage of one file: see `neurozarr.run.receipts.damage_of_file`."""
        return receipts.damage_of_file(self.paths, self.document, key, problem, redo)


def check_bytes(
    level: StoredLevel, *, missing: Collection[Path] = (), threads: int = 1
) -> list[Damage]:
    """Find files of a level whose checksums differ from those in its receipts.

    Parameters
    ----------
    level
        The level.
    missing
        Files that are already known to be missing or damaged, and are skipped.
    threads
        Number of files that are read at once.

    Returns
    -------
    list of Damage
        One for each modified file.
    """
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
            level.damage(key, "its checksum differs from the recorded one", receipt)
            for (key, then), now in zip(known.items(), found, strict=True)
            if now != then
        ]
    return wrong


def check_voxels(
    level: StoredLevel,
    parent: StoredLevel | None,
    *,
    factors: Sequence[int],
    mode: Mode,
    damaged: Collection[Path] = (),
    threads: int = 1,
) -> list[Damage]:
    """Find voxels of a level that differ from what was written or from the reduced parent level.

    Parameters
    ----------
    level, parent
        The level and its parent level; the parent of level 0 is None.
    factors, mode
        Downsampling factor of each axis, and downsampling mode, of the level.
    damaged
        Damaged files of both levels. Voxels in these files, and voxels that were computed from
        them, are skipped.
    threads
        Number of sub-blocks that are read at once.

    Returns
    -------
    list of Damage
        Modified or unreadable write chunks, and blocks whose voxels have another checksum.
    """
    array = level.array
    write_chunk = array.shards or array.chunks

    def check(part: Region) -> tuple[int | None, list[tuple[Region, str]]]:
        """Return the checksum of a sub-block, None if unknown, and its damaged write chunks."""
        if not level.files(part).isdisjoint(damaged):
            return None, []
        try:
            voxels = np.ascontiguousarray(array[part])
        except Exception as error:  # Codecs raise different exceptions.
            return None, [(part, f"cannot be read ({error})")]
        found = checksum(voxels, part, write_chunk, array.shape)
        if parent is None:
            return found, []
        above = parent_region(part, factors, parent.array.shape)
        if not parent.files(above).isdisjoint(damaged):
            return found, []
        expected = reduced(parent.array, array, part, factors, mode)
        if np.array_equal(voxels.view(np.uint8), expected.view(np.uint8)):
            return found, []
        raw = f"V{voxels.dtype.itemsize}"
        differs = voxels.view(raw) != expected.view(raw)
        return found, [
            (inner, "its voxels differ from those computed from the parent level")
            for inner in regions(part, write_chunk)
            if differs[_inside(inner, part)].any()
        ]

    wrong = []
    for receipt in level.paths.block_receipts(level.blocks):
        block = read_json(receipt)
        parts = list(regions(region_of(block), sub_block(array.chunks, write_chunk, array.dtype)))
        results = for_each(check, parts, threads=threads)
        for where, problem in (item for _, items in results for item in items):
            key = next(chunk_keys(level.document, where))
            wrong.append(level.damage(key, problem, receipt))
        checksums = [found for found, _ in results if found is not None]
        if len(checksums) == len(parts) and sum(checksums) % 2**64 != block["checksum"]:
            problem = f"the voxels in the region {block['region']} differ from those written"
            wrong.append(receipts.damage_of_level(level.paths, problem, receipt))
    return sorted(wrong, key=str)


def check_source(
    source: Source,
    level: StoredLevel,
    *,
    slab: Sequence[int] | None,
    threads: int = 1,
) -> list[Damage]:
    """Compare the voxels of a source with those from which level 0 was made.

    Parameters
    ----------
    source
        The source as it is now.
    level
        Level 0.
    slab
        Shape of the slabs that are read from the source; None if each thread reads for itself.
    threads
        Number of sub-blocks that are read at once.

    Returns
    -------
    list of Damage
        The first block whose voxels differ; empty if none does.
    """
    for receipt in level.paths.block_receipts(level.blocks):
        block = read_json(receipt)
        region = region_of(block)
        found = summarize_source(source, level.array, region=region, slab=slab, threads=threads)
        if found.checksum != block["checksum"]:
            problem = (
                f"the voxels in the region {block['region']} differ from the source, which was "
                "changed without a change of its size and modification time"
            )
            return [receipts.damage_of_level(level.paths, problem, level.paths.document)]
    return []


def _inside(inner: Region, outer: Region) -> Region:
    """Return a region relative to the start of an outer region that contains it."""
    return tuple(
        slice(side.start - part.start, side.stop - part.start)
        for side, part in zip(inner, outer, strict=True)
    )
