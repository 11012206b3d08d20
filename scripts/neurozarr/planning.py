"""What of a sample is to be done again, by what its receipts say that it was made from.

Receipts record what each step used, so that this holds wherever Snakemake is run from, whatever it
remembers, and whatever the times of files are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurozarr import fingerprints, pyramid, voxels
from neurozarr.documents import FILES, Document, read_record
from neurozarr.errors import OwnershipError
from neurozarr.sources.paths import is_address

if TYPE_CHECKING:
    from neurozarr.samples import Sample

#: What a recipe says of the place of a source: another place alone is no reason to convert again.
_PLACES = ("path", "relative_path")


def check_apart(read: Iterable[Path], written: Iterable[Path]) -> None:
    """Raise an OwnershipError where what a run reads is, contains or lies in what it writes.

    Parameters
    ----------
    read
        Files of sources and headers, and directories that are read whole.
    written
        Stores, and directories beside them.
    """
    targets = {os.path.realpath(path): path for path in written}
    above = {str(parent): target for target in targets for parent in Path(target).parents}
    for path in read:
        real = os.path.realpath(path)
        inside = [real, *map(str, Path(real).parents)]
        target = next((targets[place] for place in inside if place in targets), None)
        if target is None and real in above:
            target = targets[above[real]]
        if target is not None:
            raise OwnershipError(
                f"source {path} ({real}) would be overwritten by what this run writes, {target} "
                f"({os.path.realpath(target)}): choose another output"
            )


def check_same_image(sample: Sample, state: Path, store: Path, *, overwrite: bool) -> None:
    """Raise an OwnershipError where a store holds another file's image, unless told to replace it.

    Parameters
    ----------
    sample
        What is to be converted.
    state, store
        Directories of the receipts and of the store.
    overwrite
        Whether the user says that it may be replaced.
    """
    receipt = read_record(state / "0/array.json")
    if overwrite or receipt is None or not store.exists():
        return
    then, now = receipt["recipe"], recipe_of(sample, 0, store)
    moved = all(then.get(name) != now[name] for name in _PLACES)
    if moved and not _is_same_source(receipt, sample, store):
        raise OwnershipError(
            f"{store} holds the image of {then['path']}, and {now['path']} would take its place: "
            "give it another name in a sample sheet, choose another output, or set overwrite: true"
        )


def stale(
    sample: Sample, state: Path, store: Path, *, driver: str, verify: str, header: bool
) -> dict[Path, str]:
    """Which files of a sample are to be made again, and why; missing ones are left out.

    Parameters
    ----------
    sample
        What it is to be.
    state, store
        Directories of the receipts and of the store.
    driver
        Library that writes the voxels.
    verify
        How the store is checked: "none", "quick" or "full".
    header
        Whether the store has a NIfTI header.
    """
    found: dict[Path, str] = {}
    for number, level in enumerate(sample.levels):
        array_file = store / str(number) / FILES[level.document["zarr_format"]][0]
        receipt_file = state / str(number) / "array.json"
        receipt = _read(receipt_file, found)
        if receipt is not None:
            found |= _stale_array(sample, number, receipt_file, receipt, store)
        if array_file.exists() and read_record(array_file) is None:
            found[array_file] = "damaged"
        nonce = receipt and receipt.get("nonce")
        for block in range(level.blocks):
            block_file = state / str(number) / f"block-{block}.json"
            written = _read(block_file, found)
            if written is None:
                continue
            region = [[side.start, side.stop] for side in level.region(block)]
            if nonce is not None and written.get("nonce") != nonce:
                found[block_file] = "its array was created anew"
            elif written.get("region") != region or written.get("driver") != driver:
                found[block_file] = "block or driver is another one"
    metadata = _read(state / "ome.json", found)
    planned = {"attributes": sample.attributes, "channels": sample.channels}
    if metadata is not None and {k: metadata.get(k) for k in planned} != _plain(planned):
        found[state / "ome.json"] = "the metadata are other ones"
    if header:
        known = _read(state / "header.json", found)
        if known is not None and known.get("header") != sample.planned["header_checksum"]:
            found[state / "header.json"] = "the NIfTI header is another one"
    if verify != "none":
        verified = _read(state / "verify.json", found)
        if verified is not None and verified.get("verify") != verify:
            found[state / "verify.json"] = "it was verified in another way"
    return found


def _stale_array(
    sample: Sample, number: int, receipt_file: Path, receipt: Document, store: Path
) -> dict[Path, str]:
    recipe = recipe_of(sample, number, store)
    if receipt.get("document") != _plain(sample.levels[number].document):
        return {receipt_file: "the array is another one"}
    if number == 0 and not _is_same_source(receipt, sample, store):
        return {receipt_file: "the source is another one"}
    made_from = receipt.get("recipe", {})
    if any(made_from.get(name) != recipe[name] for name in recipe if name not in _PLACES):
        return {receipt_file: "the options are other ones"}
    return {}


def recipe_of(sample: Sample, level: int, store: Path) -> Document:
    """What decides about the voxels of a level, beside its document and the level above.

    Of level 0, with the place of the source, on this machine and as seen from the output.
    """
    if level:
        return {"mode": sample.mode, "kernel": pyramid.KERNEL_VERSIONS[sample.mode]}
    path = sample.path if is_address(sample.path) else os.path.realpath(sample.path)
    relative = path if is_address(path) else os.path.relpath(path, os.path.realpath(store.parent))
    return _plain(
        {
            "path": path,
            "relative_path": relative,
            "layout": {name: said for name, said in sample.layout.items() if name != "output"},
            "kernel": voxels.COPY_VERSION,
        }
    )


def _is_same_source(receipt: Document, sample: Sample, store: Path) -> bool:
    files: Sequence[Path] = sample.source.files
    if not files:  # An address: its content cannot be told.
        return bool(receipt["recipe"]["path"] == recipe_of(sample, 0, store)["path"])
    return fingerprints.are_same(receipt["source"], files)


def _read(file: Path, found: dict[Path, str]) -> Document | None:
    """A receipt; a damaged one is to be made again."""
    document = read_record(file)
    if document is None and file.exists():
        found[file] = "damaged"
    return document


def _plain(document: Document) -> Document:
    """A document as it is read back from JSON."""
    return json.loads(json.dumps(document))
