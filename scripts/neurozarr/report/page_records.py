"""Records of pages: what each was made from, and that it was written by this workflow.

A page is made again if the receipts of its store, or of a label beneath it, have changed since.
Checksums of what was written are recorded before it replaces what is there, so that pages of
others, and pages that a user has edited, are kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import xxhash

from neurozarr.errors import OwnershipError
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import LABELS, Document, read_record, write_bytes, write_json

#: Increased when pages of the same store look different from before: all are then made again.
FORMAT = 2


def made_from(paths: StorePaths) -> str:
    """A checksum of all that decides what a page shows: receipts, and the report of verify.

    An array has another nonce whenever its voxels change, so receipts of blocks are not needed.
    """
    digest = xxhash.xxh3_128(str(FORMAT).encode())
    states = [paths.state]
    if not (paths.label or paths.place):  # Pages of other images do not show labels beneath them.
        states += sorted((paths.state / LABELS).glob("*"))
    for state in states:
        is_label = state != paths.state
        group = Path(paths.store, LABELS, state.name, paths.group[0].name)
        if is_label and not group.exists():
            continue
        receipts = [state / paths.ome_receipt.name, state / paths.header_receipt.name]
        for file in [*receipts, *sorted(state.glob("[0-9]*/array.json"))]:
            digest.update(f"{file.relative_to(paths.state)}\n".encode())
            digest.update(_content(file))
    digest.update(_content(paths.verify_receipt))
    digest.update(_content(paths.report))
    return digest.hexdigest()


def is_current(paths: StorePaths) -> bool:
    """Whether the page of a store exists, and the store has not changed since it was made."""
    record = read_record(paths.page_receipt)
    files = (paths.page, paths.thumbnail)
    return (
        record is not None
        and record.get("made_from") == made_from(paths)
        and all(file.is_file() for file in files)
    )


def rows_of(paths: StorePaths) -> dict[str, Document]:
    """What is known of each sample that has a page in the output directory, by name.

    Parameters
    ----------
    paths
        Paths of any store there.
    """
    folder = paths.page_receipts
    found = {}
    for file in sorted(folder.rglob("*.json")):
        name = str(file.relative_to(folder)).removesuffix(".json")
        row = (read_record(file) or {}).get("row")
        if row is not None and (paths.index.parent / f"{name}.html").is_file():
            found[name] = row
    return found


def index_made_from(rows: Mapping[str, Document]) -> str:
    """A checksum of all that decides what the list of all pages shows."""
    text = json.dumps([FORMAT, rows], sort_keys=True)
    return xxhash.xxh3_128_hexdigest(text.encode())


def is_current_index(paths: StorePaths, samples: Collection[str]) -> bool:
    """Whether the list of all pages is there and complete, and says that no sample has failed.

    Parameters
    ----------
    paths
        Paths of any store in the output directory.
    samples
        Names of the samples that have not failed since.
    """
    record = read_record(paths.index_receipt) or {}
    return (
        paths.index.is_file()
        and record.get("failed", {}).keys().isdisjoint(samples)
        and record.get("made_from") == index_made_from(rows_of(paths))
    )


def check(receipt: Path, *files: Path) -> None:
    """Check that files may be replaced.

    Parameters
    ----------
    receipt
        Record of what was written.
    files
        The files, which need not exist.

    Raises
    ------
    OwnershipError
        One exists and is not what this workflow wrote.
    """
    written: Document | None = None
    for file in files:
        if not os.path.lexists(file):
            continue
        if written is None:
            written = (read_record(receipt) or {}).get("written", {})
        known = written.get(file.name, [])
        if file.is_symlink() or not file.is_file() or _checksum(file.read_bytes()) not in known:
            raise OwnershipError(
                f"{file} was not written by this workflow, or was edited, and would be "
                "overwritten. Move it away, or choose another output"
            )


def check_name(sample: str) -> None:
    """Raise an OwnershipError if the page of a sample would be in the place of the list of all."""
    if sample.lower() == "index":
        raise OwnershipError(
            f"the page of sample {sample} would overwrite the list of all pages, index.html: give "
            "the sample another name in a sample sheet"
        )


def write(receipt: Path, files: Mapping[Path, bytes], about: Document) -> None:
    """Write files, and record them.

    Parameters
    ----------
    receipt
        Record of what was written.
    files
        The content of each file.
    about
        What else is recorded once they are written: what they were made from.

    Raises
    ------
    OwnershipError
        One is in the place of a file of others.
    StoreError
        One cannot be written.
    """
    check(receipt, *files)
    known = (read_record(receipt) or {}).get("written", {})
    written = {file.name: _checksum(content) for file, content in files.items()}
    # If the run is killed, each file is either the one before or the new one.
    before = {name: [*known.get(name, []), checksum] for name, checksum in written.items()}
    write_json(receipt, {"written": before})
    for file, content in files.items():
        write_bytes(file, content)
    write_json(receipt, about | {"written": {name: [made] for name, made in written.items()}})


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _checksum(content: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(content)
