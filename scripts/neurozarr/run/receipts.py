"""What a job leaves behind, outside the store, to say what it did.

Every new array gets a receipt with a nonce, and every block that is written into it a receipt that
repeats the nonce: so voxels of an older array are told from those of the present one, although both
arrays are described by the same bytes.
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
from neurozarr.run.paths import LevelPaths
from neurozarr.zarr.chunks import chunk_index, chunk_keys, write_chunk_grid
from neurozarr.zarr.documents import Document, read_json, write_json

if TYPE_CHECKING:
    from neurozarr.run.fingerprints import Fingerprint
    from neurozarr.voxels.summary import Summary

logger = logging.getLogger(__name__)

#: How many damages an error names.
NAMED = 5

#: How much of a file is read at once for its checksum, in bytes.
PIECE = 2**20


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is not as it was written, or as it is to be.

    Attributes
    ----------
    path
        The array, or the group; or one of their files.
    problem
        What is wrong with it.
    redo
        The file of a job that repairs it: what that job leaves last.
    level, chunk
        The level, and the place of the file in the grid of the level's files; None of what has
        none.
    """

    path: Path
    problem: str
    redo: Path
    level: int | None = None
    chunk: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def refuse(what: str, damages: Sequence[Damage]) -> None:
    """Raise a ReceiptError that says what cannot be done because of which damages, if any."""
    if damages:
        found = "; ".join(map(str, damages[:NAMED]))
        more = f"; and {len(damages) - NAMED} more" if len(damages) > NAMED else ""
        redo = " ".join(dict.fromkeys(str(damage.redo) for damage in damages))
        raise ReceiptError(f"{what}: {found}{more}. Run again with --forcerun {redo}")


def write_array_receipt(
    receipt: Path, document: Document, source: Sequence[Fingerprint], recipe: dict[str, Any]
) -> None:
    """Say that an array was created, empty, and what it is made from.

    Parameters
    ----------
    receipt
        The file to write.
    document
        Metadata of the array.
    source
        Fingerprints of the source's files, of level 0.
    recipe
        What else decides about its voxels.
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
) -> None:
    """Say that a block of an array was written, and log it.

    Parameters
    ----------
    level
        Where the level lies.
    block
        Number of the block.
    region, summary
        Which voxels were written, and what is known of them.
    nonce
        Of the array, as its receipt had it before the first voxel was written.
    driver
        Library that wrote the voxels.
    seconds
        How long it took: for the log. The receipt of the same voxels is the same.
    threads
        How many files are read at once, for their checksums.
    """
    array = level.folder
    files = [array / key for key in chunk_keys(read_json(level.document), region)]
    # What a receipt names is on the disk before the receipt is.
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
            # Of each file, in C order.
            "sizes": sizes,
            "checksums": file_checksums(files, threads=threads),
        },
    )


def file_checksums(files: Iterable[Path], *, threads: int = 1) -> list[int]:
    """XXH3 of the bytes of each file."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(_file_checksum, files))


def _file_checksum(file: Path) -> int:
    digest = xxhash.xxh3_64()
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.intdigest()


def write_header_receipt(receipt: Path, folder: Path, checksum: int) -> None:
    """Say what files the NIfTI header was written into, in a directory, and what its XXH3 is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    known = dict(zip(names, file_checksums(files), strict=True))
    write_json(receipt, {"header": checksum, "files": known})


def changed_files(folder: Path, known: dict[str, int]) -> dict[Path, str]:
    """Which files of a directory are missing or have other bytes, by checksums, and that."""
    problems = {}
    for name, checksum in known.items():
        try:
            if file_checksums([folder / name]) != [checksum]:
                problems[folder / name] = "its bytes are not those that were written"
        except FileNotFoundError:
            problems[folder / name] = "missing"
    return problems


def region_of(block: Document) -> Region:
    """The voxels that a block's receipt is about."""
    return tuple(slice(start, stop) for start, stop in block["region"])


def extremes(level: LevelPaths, blocks: int) -> tuple[float, float]:
    """Smallest and largest finite value of a level, by the receipts of its blocks; or 0 and 1."""
    read = map(read_json, level.block_receipts(blocks))
    finite = [block for block in read if block["minimum"] is not None]
    if not finite:
        return 0.0, 1.0
    return min(block["minimum"] for block in finite), max(block["maximum"] for block in finite)


def check(level: LevelPaths, blocks: int) -> list[Damage]:
    """What is wrong with the files of a level: nothing, if they are all there and its own.

    Parameters
    ----------
    level
        Where the level lies.
    blocks
        How many blocks it has.
    """

    def damage(problem: str, redo: Path) -> Damage:
        return Damage(path=level.folder, problem=problem, redo=redo, level=int(level.number))

    if not level.document.is_file():
        return [damage("the array is missing", level.document)]
    document = read_json(level.document)
    nonce = read_json(level.array_receipt)["nonce"]
    written = {receipt: read_json(receipt) for receipt in level.block_receipts(blocks)}
    if sum(block["files"] for block in written.values()) != math.prod(write_chunk_grid(document)):
        problem = "the receipts of its blocks are not those of all its voxels"
        return [damage(problem, level.document)]
    problem = "voxels were written into an older array of that name"
    old = [damage(problem, file) for file, block in written.items() if block["nonce"] != nonce]
    return old or check_blocks(level, range(blocks))


def check_blocks(level: LevelPaths, blocks: Iterable[int]) -> list[Damage]:
    """What is missing, or of another size, of the files of some blocks of a level."""
    document = read_json(level.document)
    wrong = []
    for receipt in map(level.block_receipt, blocks):
        block = read_json(receipt)
        for key, size in zip(chunk_keys(document, region_of(block)), block["sizes"], strict=True):
            if (problem := _problem(level.folder / key, size)) is not None:
                wrong.append(damage_of_file(level, document, key, problem, receipt))
    return wrong


def damage_of_file(
    level: LevelPaths, document: Document, key: str, problem: str, redo: Path
) -> Damage:
    """What is wrong with a file of a level, by its name.

    Parameters
    ----------
    level
        Where the level lies.
    document
        Metadata of its array.
    key
        Name of the file in the array.
    problem
        What is wrong with it.
    redo
        The file of the job that repairs it.
    """
    return Damage(
        path=level.folder / key,
        problem=problem,
        redo=redo,
        level=int(level.number),
        chunk=chunk_index(document, key),
    )


def _problem(file: Path, size: int) -> str | None:
    """What is wrong with a file that is to have so many bytes."""
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        return "missing"
    return None if found == size else f"{found} bytes, but {size} were written"


def delete(level: LevelPaths) -> None:
    """Delete the receipts of a level, so that a power cut does not bring them back."""
    for receipt in (level.array_receipt, *level.state.glob(level.block_receipt("*").name)):
        receipt.unlink(missing_ok=True)
    if level.state.exists():
        sync(level.state)


def delete_block(level: LevelPaths, region: Region) -> None:
    """Delete the files of a region that is written anew.

    A driver would keep what stands in a damaged one beyond the edge of the array.
    """
    for key in chunk_keys(read_json(level.document), region):
        (level.folder / key).unlink(missing_ok=True)
