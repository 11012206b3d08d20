"""Check a store that is published."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from neurozarr.errors import DamageError
from neurozarr.run import claims, receipts
from neurozarr.run.receipts import NAMED, Damage
from neurozarr.verify import metadata
from neurozarr.verify.metadata import Planned
from neurozarr.zarr.documents import Document, read_json, write_json

logger = logging.getLogger(__name__)

Level = tuple[Path, Path, Sequence[Path]]


def verify_store(
    store: Path,
    planned: Planned,
    *,
    levels: Sequence[Level],
    source: Document,
    header_receipt: Path | None,
    verify: Literal["quick", "full"],
    driver: str,
    threads: int,
    report: Path,
    receipt: Path,
    claim: Path,
) -> None:
    """Check a store, and report what is damaged and how it is repaired.

    Parameters
    ----------
    store
        Directory of the group.
    planned
        What it is to be.
    levels
        For each level, finest first, its array file, its receipt and those of its blocks.
    source
        Path and layout of the source, and the slabs that it is read in; with "full", level 0 is
        compared with it.
    header_receipt
        The receipt of its NIfTI header; None where it has none.
    verify
        "quick" looks at metadata, at the header's files, and at the size of every other; "full"
        reads all of them as well, compares the bytes with the receipts, the header with the array
        of level 0, and each level's voxels with the last one's.
    driver, threads
        Library that reads the voxels, and how many files or sub-blocks are read at once.
    report
        JSON file to write in any case.
    receipt
        File to write last, for a store without damage.
    claim
        Directory of the claim of the run, which says how some of its files are made again.

    Raises
    ------
    DamageError
        The store is damaged.
    """
    receipt.unlink(missing_ok=True)
    damages = [
        damage
        for level, document in zip(levels, planned.documents, strict=True)
        for damage in metadata.check_document(level[0], document) or receipts.check(*level)
    ]
    damages += metadata.check_image(store, planned)
    if header_receipt is not None:
        damages += metadata.check_header(store, planned, header_receipt)
    if verify == "full":
        damages += _check_contents(
            store, levels, planned, damages, source=source, driver=driver, threads=threads
        )
    redo = " ".join(dict.fromkeys(str(damage.redo) for damage in damages))
    run = claims.read(claim)
    repair = (run.repair if run else "snakemake FILES --force").replace("FILES", redo)
    described = [
        _describe(document, level)
        for document, level in zip(planned.documents, levels, strict=True)
    ]
    write_json(
        report,
        {
            "store": str(store),
            "verify": verify,
            "sound": not damages,
            "levels": described,
            "damage": [_entry(damage) for damage in damages],
            "repair": repair if damages else None,
        },
    )
    for number, level in enumerate(described):
        size = level["bytes"] / 1e6
        logger.info("level %d: %s, %d files, %.1f MB", number, level["shape"], level["files"], size)
    for damage in damages:
        logger.error("%s", damage)
    if damages:
        found = "; ".join(map(str, damages[:NAMED]))
        more = f"; and {len(damages) - NAMED} more" if len(damages) > NAMED else ""
        raise DamageError(f"{store} is damaged: {found}{more}. To repair it: {repair}")
    logger.info("%s: sound, by a %s check", store, verify)
    write_json(receipt, {"verify": verify})


def summarize(reports: Sequence[Path]) -> str:
    """What reports of sound stores say, a line for each."""
    lines = []
    for report in map(read_json, reports):
        levels = report["levels"]
        files, size = (sum(level[name] for level in levels) for name in ("files", "bytes"))
        what = f"{len(levels)} levels, {files} files, {size / 1e6:.1f} MB"
        lines.append(f"{report['store']}: sound, by a {report['verify']} check of {what}")
    return "\n".join(lines)


def _check_contents(
    store: Path,
    levels: Sequence[Level],
    planned: Planned,
    known: Sequence[Damage],
    *,
    source: Document,
    driver: str,
    threads: int,
) -> list[Damage]:
    """Compare all bytes, and all voxels, of levels whose metadata and receipts are sound."""
    # What reads voxels takes longer to load than a quick check takes.
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
    for number, (file, _, blocks) in enumerate(levels):
        if number in lost:
            parent = None
            continue
        bad = check_bytes(file, blocks, missing=damaged, threads=threads)
        damaged |= {damage.path for damage in bad}
        array = open_array(file.parent, "r", driver=driver, threads=threads)
        level = StoredLevel(array, file, read_json(file))
        found += bad + check_voxels(
            level, parent, blocks, mode=planned.mode, damaged=damaged, threads=threads
        )
        if number == 0:
            volume = open_source(source["path"], **source["layout"])
            found += check_source(volume, level, blocks, slab=source["slab"], threads=threads)
        parent = level
    if planned.header_checksum is not None and 0 not in lost:
        found += check_header(store, planned, driver=driver)
    return found


def _describe(document: Document, level: Level) -> Document:
    blocks = [read_json(receipt) for receipt in level[2]]
    return {
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
