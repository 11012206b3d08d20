"""Verify a published store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from neurozarr.errors import DamageError
from neurozarr.run import claims, receipts
from neurozarr.run.paths import LevelPaths, StorePaths
from neurozarr.run.receipts import MAX_LISTED, Damage
from neurozarr.tables import counted, megabytes
from neurozarr.verify import metadata
from neurozarr.verify.metadata import Planned
from neurozarr.zarr.documents import Document, read_json, write_json

Verify = Literal["none", "quick", "full"]

logger = logging.getLogger(__name__)


def verify_store(
    paths: StorePaths,
    *,
    blocks: Sequence[int],
    planned: Document,
    source: Document,
    verify: Literal["quick", "full"],
    driver: str,
    threads: int,
) -> None:
    """Verify a store, and report what is damaged and how to repair it.

    Parameters
    ----------
    paths
        Paths of the store. The report is always written, the receipt only if nothing is damaged.
    blocks
        Number of blocks of each level, finest first.
    planned
        Arguments of `neurozarr.verify.metadata.Planned`.
    source
        Path and layout of the source, and the shape of its slabs.
    verify
        "quick" checks the metadata, the files of the NIfTI header, and the sizes of all other
        files. "full" also compares the checksums of all files with the receipts, the NIfTI header
        with the array of level 0, each level with its reduced parent level, and level 0 with the
        source. Levels that an image of others had before are not verified, but those that are made
        from them are compared with them.
    driver
        Library that reads the voxels.
    threads
        Number of files or sub-blocks that are read at once.

    Raises
    ------
    DamageError
        The store is damaged.
    """
    paths.verify_receipt.unlink(missing_ok=True)
    levels, image = paths.levels(blocks), Planned(**planned)
    damages = [
        damage
        for level, count, document in zip(levels, blocks, image.documents, strict=True)
        if not level.given
        for damage in metadata.check_document(level, document) or receipts.check(level, count)
    ]
    if paths.place is not None:
        damages += metadata.check_extension(paths)
    else:
        damages += metadata.check_image(paths, image)
    if paths.nii:
        damages += metadata.check_header(paths, image)
    if verify == "full":
        damages += _check_contents(
            paths, blocks, image, damages, source=source, driver=driver, threads=threads
        )
    redo = " ".join(dict.fromkeys(str(damage.redo) for damage in damages))
    run = claims.read(paths.state)
    repair = (run.repair if run else "snakemake FILES --force").replace("FILES", redo)
    described = [
        _describe(level, document, count)
        for level, count, document in zip(levels, blocks, image.documents, strict=True)
        if not level.given
    ]
    write_json(
        paths.report,
        {
            "store": str(paths.store),
            "verify": verify,
            "sound": not damages,
            "levels": described,
            "damage": [_entry(damage) for damage in damages],
            "repair": repair if damages else None,
        },
    )
    for found in described:
        files, size = counted(found["files"], "file"), megabytes(found["bytes"] / 1e6)
        logger.info("level %d: %s, %s, %s MB", found["level"], found["shape"], files, size)
    for damage in damages:
        logger.error("%s", damage)
    if damages:
        named = "; ".join(map(str, damages[:MAX_LISTED]))
        more = f"; and {len(damages) - MAX_LISTED} more" if len(damages) > MAX_LISTED else ""
        raise DamageError(f"{paths.store} is damaged: {named}{more}. To repair it: {repair}")
    logger.info("%s: no damage found by a %s check", paths.store, verify)
    write_json(paths.verify_receipt, {"verify": verify})


def summarize(reports: Sequence[Path]) -> str:
    """Summarize reports of undamaged stores, with one line for each."""
    lines = []
    for report in map(read_json, reports):
        levels = report["levels"]
        files, size = (sum(level[name] for level in levels) for name in ("files", "bytes"))
        counts = f"{counted(len(levels), 'level')}, {counted(files, 'file')}"
        what = f"{counts}, {megabytes(size / 1e6)} MB"
        lines.append(f"{report['store']}: no damage found by a {report['verify']} check of {what}")
    return "\n".join(lines)


def _check_contents(
    paths: StorePaths,
    blocks: Sequence[int],
    planned: Planned,
    known: Sequence[Damage],
    *,
    source: Document,
    driver: str,
    threads: int,
) -> list[Damage]:
    """Check the bytes and voxels of all levels whose metadata and receipts are undamaged."""
    # Imported here because loading these modules takes longer than a quick verification.
    from neurozarr.drivers import open_array
    from neurozarr.sources import open_source
    from neurozarr.verify.contents import (
        StoredLevel,
        check_bytes,
        check_header,
        check_source,
        check_voxels,
    )

    lost = {damage.level for damage in known if damage.chunk is None}
    damaged = {damage.path for damage in known}
    found: list[Damage] = []
    parent = None
    for number, (place, count) in enumerate(zip(paths.levels(blocks), blocks, strict=True)):
        if number in lost:
            parent = None
            continue
        array = open_array(place.folder, "r", driver=driver, threads=threads)
        level = StoredLevel(place, array, read_json(place.document), count)
        if place.given:  # There is nothing to compare it with.
            parent = level
            continue
        bad = check_bytes(level, missing=damaged, threads=threads)
        damaged |= {damage.path for damage in bad}
        found += bad + check_voxels(
            level,
            parent,
            factors=planned.factors[number],
            mode=planned.mode,
            damaged=damaged,
            threads=threads,
        )
        if number == 0:
            volume = open_source(source["path"], **source["layout"])
            found += check_source(volume, level, slab=source["slab"], threads=threads)
        parent = level
    if planned.header_checksum is not None and 0 not in lost:
        found += check_header(paths, planned, driver=driver)
    return found


def _describe(level: LevelPaths, document: Document, count: int) -> Document:
    blocks = [read_json(receipt) for receipt in level.block_receipts(count)]
    return {
        "level": level.number,
        "shape": document["shape"],
        "files": sum(block["files"] for block in blocks),
        "bytes": sum(block["bytes"] for block in blocks),
    }


def _entry(damage: Damage) -> Document:
    return {
        "level": damage.level,
        "chunk": damage.chunk,
        "file": str(damage.path),
        "problem": damage.problem,
        "repaired_by": str(damage.redo),
    }
