"""Whether a store is what its conversion wrote, and what the specifications ask for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from neurozarr import headers, nifti, ome, receipts
from neurozarr.abc import ZarrArray
from neurozarr.chunks import Region, chunk_index, chunk_keys
from neurozarr.documents import FILES, GROUP_FILES, HEADER, Document, group_documents, read_json
from neurozarr.drivers import open_array
from neurozarr.plan import regions, sub_block
from neurozarr.pyramid import Mode, factors, window
from neurozarr.receipts import Damage, region_of
from neurozarr.voxels import checksum, for_each, reduced


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What an image was planned to be.

    Attributes
    ----------
    documents
        Metadata of the array of each level, finest first.
    axes
        Names of their axes.
    attributes
        Of the group, without its channels.
    channels
        Names and colours of the channels, without their windows.
    header_checksum
        XXH3 of the NIfTI header; None where there is none.
    mode
        How a window of voxels became one.
    """

    documents: Sequence[Document]
    axes: str
    attributes: Document
    channels: Sequence[Document]
    header_checksum: int | None
    mode: Mode

    @property
    def zarr_version(self) -> int:
        """Version of the Zarr format."""
        return self.documents[0]["zarr_format"]


def check_document(array_file: Path, document: Document) -> list[Damage]:
    """What is wrong with the metadata of an array, by the plan."""
    level = int(array_file.parent.name)
    try:
        if read_json(array_file) == document:
            return []
        problem = "the array's metadata are not those that were planned"
    except FileNotFoundError:
        problem = "missing"
    except ValueError as error:
        problem = f"the array's metadata cannot be read ({error})"
    return [Damage(path=array_file, problem=problem, redo=array_file, level=level)]


def check_image(store: Path, planned: Planned) -> list[Damage]:
    """What is wrong with the metadata of an image: by the plan, and by the specification.

    OME-Zarr 0.4 and 0.5 are checked by yaozarrs, which has no 0.6.
    """
    file = store / GROUP_FILES[planned.zarr_version][0]
    try:
        problem = _image_problem(store, planned)
    except FileNotFoundError as error:
        problem = f"{error.filename} is missing"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"the metadata cannot be read ({error!r})"
    return [Damage(path=store, problem=problem, redo=file)] if problem else []


def _image_problem(store: Path, planned: Planned) -> str | None:
    names = GROUP_FILES[planned.zarr_version]
    found = {name: read_json(store / name) for name in names}
    attributes: Document = found[names[-1]]["attributes"] if len(names) == 1 else found[".zattrs"]
    channels = attributes.get("ome", attributes).get("omero", {}).get("channels", [])
    windows = [tuple(channel["window"].values()) for channel in channels]
    expected = ome.with_windows(planned.attributes, planned.channels, windows)
    if found != group_documents(planned.zarr_version, expected):
        return "the metadata are not those that were planned"
    image = attributes.get("ome", attributes)
    if image.get("version", image["multiscales"][0].get("version")) in ("0.4", "0.5"):
        import yaozarrs

        try:
            yaozarrs.validate_ome_json(json.dumps(attributes))
        except ValueError as error:
            return f"the metadata are not valid ({error})"
    return None


def check_header(store: Path, planned: Planned, *, driver: str) -> list[Damage]:
    """What is wrong with the NIfTI header of an image: by the plan, the arrays, and its JSON."""
    folder = store / HEADER
    file = folder / FILES[planned.zarr_version][0]
    try:
        problem = _header_problem(folder, planned, driver)
    except Exception as error:  # Each driver has its own.
        problem = f"the NIfTI header cannot be read ({error})"
    return [Damage(path=folder, problem=problem, redo=file)] if problem else []


def _header_problem(folder: Path, planned: Planned, driver: str) -> str | None:
    array = open_array(folder, "r", driver=driver)
    raw = array[...].tobytes()
    if xxhash.xxh3_64_intdigest(raw) != planned.header_checksum:
        return "the NIfTI header is not the one that was planned"
    base = open_array(folder.with_name("0"), "r", driver=driver)
    fitted = headers.fit_header(raw, axes=planned.axes, shape=base.shape, dtype=base.dtype)
    if fitted != raw:
        return "the NIfTI header does not say what the array of level 0 is"
    stated = {name: value for name, value in array.attrs.items() if name != headers.COLOURS}
    if stated != nifti.header_json(raw):
        return "the JSON form of the NIfTI header is not that of its bytes"
    return None


def check_bytes(
    array_file: Path,
    block_receipts: Sequence[Path],
    *,
    missing: Collection[Path] = (),
    threads: int = 1,
) -> list[Damage]:
    """Which files of an array have other bytes than were written, beside those that are missing."""
    array, document = array_file.parent, read_json(array_file)
    wrong = []
    for receipt in block_receipts:
        block = read_json(receipt)
        keys = chunk_keys(document, region_of(block))
        known = {
            array / key: then
            for key, then in zip(keys, block["checksums"], strict=True)
            if array / key not in missing
        }
        found = receipts.file_checksums(known, threads=threads)
        for (path, then), now in zip(known.items(), found, strict=True):
            if now != then:
                key = path.relative_to(array).as_posix()
                problem = "its bytes are not those that were written"
                wrong.append(_of_file(array, document, key, problem, receipt))
    return wrong


@dataclass(frozen=True)
class StoredLevel:
    """A level as it stands in a store: its array, and the file and the contents of its metadata."""

    array: ZarrArray
    file: Path
    document: Document

    @property
    def folder(self) -> Path:
        """The directory of the array, named by the number of the level."""
        return self.file.parent

    def files(self, region: Region) -> set[Path]:
        """The files that hold the voxels of a region."""
        return {self.folder / key for key in chunk_keys(self.document, region)}


def check_voxels(
    level: StoredLevel,
    parent: StoredLevel | None,
    block_receipts: Sequence[Path],
    *,
    mode: Mode,
    damaged: Collection[Path] = (),
    threads: int = 1,
) -> list[Damage]:
    """Where the voxels of a level are not those that were written, or not the last level's.

    Parameters
    ----------
    level, parent
        The level, and the last one; None for level 0.
    block_receipts
        Receipts of the level's blocks.
    mode
        How a window of voxels became one.
    damaged
        Files that are known to be damaged, of both levels: voxels in them, and voxels that were
        made from them, are left out.
    threads
        How many sub-blocks are read at once.
    """
    array, folder = level.array, level.folder
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
        above = window(part, factors(parent.array.shape, array.shape))
        if not parent.files(above).isdisjoint(damaged):
            return found, []
        expected = reduced(parent.array, array, part, mode)
        if np.array_equal(voxels.view(np.uint8), expected.view(np.uint8)):
            return found, []
        raw = f"V{voxels.dtype.itemsize}"
        differs = voxels.view(raw) != expected.view(raw)
        return found, [
            (inner, "its voxels are not those of the last level")
            for inner in regions(part, unit)
            if differs[_inside(inner, part)].any()
        ]

    wrong = []
    for receipt in block_receipts:
        block = read_json(receipt)
        parts = list(regions(region_of(block), sub_block(array.chunks, unit, array.dtype)))
        results = for_each(check, parts, threads=threads)
        for where, problem in (item for _, items in results for item in items):
            key = next(chunk_keys(level.document, where))
            wrong.append(_of_file(folder, level.document, key, problem, receipt))
        checksums = [found for found, _ in results if found is not None]
        if len(checksums) == len(parts) and sum(checksums) % 2**64 != block["checksum"]:
            problem = f"the voxels of {block['region']} are not those that were written"
            number = int(folder.name)
            wrong.append(Damage(path=folder, problem=problem, redo=receipt, level=number))
    return sorted(wrong, key=str)


def _inside(inner: Region, outer: Region) -> Region:
    """A region of an array, from the start of another one that holds it."""
    return tuple(
        slice(side.start - part.start, side.stop - part.start)
        for side, part in zip(inner, outer, strict=True)
    )


def _of_file(array: Path, document: Document, key: str, problem: str, receipt: Path) -> Damage:
    return Damage(
        path=array / key,
        problem=problem,
        redo=receipt,
        level=int(array.name),
        chunk=chunk_index(document, key),
    )
