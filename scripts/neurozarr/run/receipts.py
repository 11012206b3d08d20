"""Receipts: JSON files beside the store in which each job records what it did.

The receipt of an array contains a nonce, a random number chosen when the array was created. The
receipt of each block repeats it. So a block of an older array with the same metadata is not
mistaken for a block of the current one.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from neurozarr.durable import sync, sync_files
from neurozarr.errors import ReceiptError
from neurozarr.regions import Region
from neurozarr.run.paths import LevelPaths, StorePaths
from neurozarr.zarr.chunks import chunk_index, chunk_keys, write_chunk_grid
from neurozarr.zarr.documents import Document, read_json, read_record, write_json

if TYPE_CHECKING:
    from neurozarr.fingerprints import Fingerprint
    from neurozarr.voxels.summary import Summary

logger = logging.getLogger(__name__)

#: Largest number of damages that an error lists.
MAX_LISTED = 5

#: Bytes of a file that are read at a time to compute its checksum.
READ_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A part of a store that differs from what was written or planned.

    Attributes
    ----------
    path
        The damaged array, group or file.
    problem
        Description of the damage.
    redo
        The output file to request from Snakemake (by --forcerun or --force) to repair the damage.
    level
        Number of the level; None for the group and the NIfTI header.
    chunk
        Position of the file in the level's grid of write chunks; None for other files.
    """

    path: Path
    problem: str
    redo: Path
    level: int | None = None
    chunk: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def refuse(what: str, damages: Sequence[Damage]) -> None:
    """Raise a ReceiptError if there are damages.

    Parameters
    ----------
    what
        What cannot be done because of them: the beginning of the message.
    damages
        The damages, of which the message lists the first ones.

    Raises
    ------
    ReceiptError
        There is at least one damage.
    """
    if damages:
        found = "; ".join(map(str, damages[:MAX_LISTED]))
        more = f"; and {len(damages) - MAX_LISTED} more" if len(damages) > MAX_LISTED else ""
        redo = " ".join(dict.fromkeys(str(damage.redo) for damage in damages))
        raise ReceiptError(f"{what}: {found}{more}. Run again with --forcerun {redo}")


def write_array_receipt(
    receipt: Path, document: Document, source: Sequence[Fingerprint], recipe: dict[str, Any]
) -> None:
    """Record that an empty array was created, and what its voxels will be made from.

    Parameters
    ----------
    receipt
        The file to write.
    document
        Metadata of the array.
    source
        Fingerprints of the source's files; empty except for level 0.
    recipe
        Recipe of the level.
    """
    # Imported here, because only this step needs it: it asks git.
    from neurozarr.version import VERSION

    made = {"nonce": uuid.uuid4().hex, "version": VERSION, "document": document}
    write_json(receipt, made | {"source": source, "recipe": recipe})


def write_block_receipt(
    level: LevelPaths,
    block: int,
    region: Region,
    summary: Summary,
    *,
    nonce: str,
    driver: str,
    seconds: float,
    threads: int,
    parent: Fingerprint | None = None,
) -> None:
    """Record that a block of an array was written, and log it.

    Parameters
    ----------
    level
        Paths of the level.
    block
        Number of the block.
    region
        Region of the block.
    summary
        Extremes and checksum of its voxels.
    nonce
        Nonce of the array, read from its receipt before the first voxel was written.
    driver
        Library that wrote the voxels.
    seconds
        Duration, for the log only: receipts of the same voxels are identical.
    threads
        Number of files whose checksums are computed at once.
    parent
        Fingerprint of the files of the parent level, if that is one of others.
    """
    array = level.folder
    files = [array / key for key in chunk_keys(read_json(level.document), region)]
    # The files must be on the disk before the receipt that names them.
    sync_files(files, array.parent)
    sizes = [file.stat().st_size for file in files]
    logger.info("%s: %d files, %.1f MB in %.2f s", array, len(files), sum(sizes) / 1e6, seconds)
    write_json(
        level.block_receipt(block),
        {
            "nonce": nonce,
            "driver": driver,
            "region": [[side.start, side.stop] for side in region],
            "files": len(files),
            "bytes": sum(sizes),
            **asdict(summary),
            # One value for each file, in C order of the grid.
            "sizes": sizes,
            "checksums": file_checksums(files, threads=threads),
            **({} if parent is None else {"parent": parent}),
        },
    )


def file_checksums(files: Iterable[Path], *, threads: int = 1) -> list[int]:
    """Compute the XXH3 checksum of each file.

    Parameters
    ----------
    files
        The files.
    threads
        Number of files that are read at once.
    """
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(_file_checksum, files))


def _file_checksum(file: Path) -> int:
    digest = xxhash.xxh3_64()
    with file.open("rb") as stream:
        while content := stream.read(READ_BYTES):
            digest.update(content)
    return digest.intdigest()


def write_header_receipt(receipt: Path, folder: Path, checksum: int) -> None:
    """Record that the NIfTI header was written, with the checksums of its files.

    Parameters
    ----------
    receipt
        The file to write.
    folder
        Directory of the header's array.
    checksum
        XXH3 checksum of the header itself.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    known = dict(zip(names, file_checksums(files), strict=True))
    write_json(receipt, {"header": checksum, "files": known})


def changed_files(folder: Path, known: dict[str, int]) -> dict[Path, str]:
    """Map each missing or modified file to its problem.

    Parameters
    ----------
    folder
        Directory of the files.
    known
        Checksums of the files by name, as they were written.
    """
    problems = {}
    for name, checksum in known.items():
        try:
            if file_checksums([folder / name]) != [checksum]:
                problems[folder / name] = "its checksum differs from the recorded one"
        except FileNotFoundError:
            problems[folder / name] = "missing"
    return problems


def region_of(block: Document) -> Region:
    """Return the region of a block, from its receipt."""
    return tuple(slice(start, stop) for start, stop in block["region"])


def extremes(level: LevelPaths, blocks: int) -> tuple[float, float]:
    """Return the smallest and largest finite value of a level, or 0 and 1 if it has none.

    Parameters
    ----------
    level
        Paths of the level.
    blocks
        Number of its blocks, whose receipts are read.
    """
    read = map(read_json, level.block_receipts(blocks))
    finite = [block for block in read if block["minimum"] is not None]
    if not finite:
        return 0.0, 1.0
    return min(block["minimum"] for block in finite), max(block["maximum"] for block in finite)


def check(level: LevelPaths, blocks: int) -> list[Damage]:
    """Find what is wrong with the files of a level, by its receipts and the files' sizes.

    Parameters
    ----------
    level
        Paths of the level.
    blocks
        Number of its blocks.

    Returns
    -------
    list of Damage
        Empty if all files are there and belong to the current array.
    """
    if not level.document.is_file():
        return [damage_of_level(level, "the array is missing", level.document)]
    document = read_json(level.document)
    nonce = read_json(level.array_receipt)["nonce"]
    written = {receipt: read_json(receipt) for receipt in level.block_receipts(blocks)}
    if sum(block["files"] for block in written.values()) != math.prod(write_chunk_grid(document)):
        problem = "the receipts of its blocks do not cover all its voxels"
        return [damage_of_level(level, problem, level.document)]
    problem = "a block was written into an older array of the same name"
    old = [
        damage_of_level(level, problem, receipt)
        for receipt, block in written.items()
        if block["nonce"] != nonce
    ]
    return old or check_blocks(level, range(blocks))


def check_blocks(level: LevelPaths, blocks: Iterable[int]) -> list[Damage]:
    """Find files of some blocks of a level that are missing or have another size than was written.

    Parameters
    ----------
    level
        Paths of the level.
    blocks
        Numbers of the blocks.
    """
    document = read_json(level.document)
    wrong = []
    for receipt in map(level.block_receipt, blocks):
        block = read_json(receipt)
        for key, size in zip(chunk_keys(document, region_of(block)), block["sizes"], strict=True):
            if (problem := _problem(level.folder / key, size)) is not None:
                wrong.append(damage_of_file(level, document, key, problem, receipt))
    return wrong


def replaced_file(level: LevelPaths, blocks: Iterable[Path], *, threads: int = 4) -> Path | None:
    """Find a file of a level that has other bytes than were written.

    Parameters
    ----------
    level
        Paths of the level.
    blocks
        Receipts of the blocks that are looked at.
    threads
        Number of files whose checksums are computed at once.

    Returns
    -------
    Path or None
        None if there is none. Files that are missing do not count.
    """
    document = (read_record(level.array_receipt) or {}).get("document")
    if document is None:
        return None
    for block in filter(None, map(read_record, blocks)):
        keys = chunk_keys(document, region_of(block))
        known = {
            level.folder / key: (size, checksum)
            for key, size, checksum in zip(keys, block["sizes"], block["checksums"], strict=True)
        }
        found = [file for file in known if file.exists()]
        for file, checksum in zip(found, file_checksums(found, threads=threads), strict=True):
            if (file.stat().st_size, checksum) != known[file]:
                return file
    return None


def damage_of_level(level: LevelPaths, problem: str, redo: Path) -> Damage:
    """Describe the damage of a level as a whole.

    Parameters
    ----------
    level
        Paths of the level.
    problem
        Description of the damage.
    redo
        The file of this level to make again to repair the damage.
    """
    return Damage(
        path=level.folder, problem=problem, redo=level.job_output(redo), level=int(level.number)
    )


def damage_of_file(
    level: LevelPaths, document: Document, key: str, problem: str, redo: Path
) -> Damage:
    """Describe the damage of one file of a level.

    Parameters
    ----------
    level
        Paths of the level.
    document
        Metadata of its array.
    key
        Zarr key of the file in the array.
    problem
        Description of the damage.
    redo
        The file of this level to make again to repair the damage.
    """
    return Damage(
        path=level.folder / key,
        problem=problem,
        redo=level.job_output(redo),
        level=int(level.number),
        chunk=chunk_index(document, key),
    )


def _problem(file: Path, size: int) -> str | None:
    """Compare the size of a file with the size that was written."""
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        return "missing"
    return None if found == size else f"{found} bytes, but {size} were written"


def delete(level: LevelPaths) -> None:
    """Delete the receipts of a level; a power cut after this call does not bring them back."""
    _delete(
        level.state,
        level.array_receipt.name,
        level.block_receipt("*").name,
        level.partial("*").name,
    )


def delete_dependent(paths: StorePaths, number: int) -> None:
    """Delete the receipts of a level, and of all that is made from it.

    Otherwise, if a run is killed later, those of old levels and metadata would be taken for those
    of the new level. A power cut after this call does not bring them back.

    Parameters
    ----------
    paths
        Paths of the store.
    number
        Number of the level. All arrays are created again after that of level 0.
    """
    for level in map(paths.level, (state.name for state in paths.state.glob("[0-9]*"))):
        if number in (0, int(level.number)):
            delete(level)
        elif number < int(level.number):
            _delete(level.state, level.block_receipt("*").name)
    _delete(paths.state, paths.ome_receipt.name)


def _delete(folder: Path, *patterns: str) -> None:
    """Delete files from a directory, which need not exist, and sync it even if there are none."""
    for pattern in patterns:
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
    if folder.exists():
        sync(folder)


def delete_block(level: LevelPaths, region: Region) -> None:
    """Delete the files of a region before it is written again.

    Otherwise a driver would keep voxels of a damaged chunk that lie beyond the edge of the array.

    Parameters
    ----------
    level
        Paths of the level.
    region
        The region.
    """
    for key in chunk_keys(read_json(level.document), region):
        (level.folder / key).unlink(missing_ok=True)
