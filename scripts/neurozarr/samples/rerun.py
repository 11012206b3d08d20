"""Find the files of a sample that must be made again, because their receipts differ from the plan.

Only receipts are compared, which record what each step used. So the result does not depend on the
working directory, on Snakemake's own records in `.snakemake`, or on modification times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from neurozarr import fingerprints, voxels
from neurozarr.errors import OwnershipError
from neurozarr.run import publishing
from neurozarr.sources.paths import SEPARATOR, is_address, parts
from neurozarr.voxels import kernels
from neurozarr.zarr.documents import Document, read_record

if TYPE_CHECKING:
    from neurozarr.run.paths import StorePaths
    from neurozarr.samples.sample import Sample

#: Keys of a recipe with the path of the source. A change of the path alone makes nothing stale.
_PATH_KEYS = ("path", "relative_path")
#: Fields of `neurozarr.sources.Layout` that do not affect the voxels.
_PLACES = ("output", "state")


class Written:
    """The stores and directories that a run writes, and from which it must not read.

    Parameters
    ----------
    paths
        Stores and other directories below the output, which need not exist.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._targets = {os.path.realpath(path): path for path in paths}
        self._above = {
            str(parent): target for target in self._targets for parent in Path(target).parents
        }

    def check_apart(self, read: Iterable[Path]) -> None:
        """Check that the paths that a run reads do not overlap those that it writes.

        Parameters
        ----------
        read
            Files of sources and headers, and directories that are read whole.

        Raises
        ------
        OwnershipError
            The real path of one of them equals, contains or is contained in a written path.
        """
        for path in read:
            real = os.path.realpath(path)
            places = (real, *map(str, Path(real).parents))
            target = next((place for place in places if place in self._targets), None)
            target = target or self._above.get(real)
            if target is not None:
                raise OwnershipError(
                    f"source {path} ({real}) would be overwritten, because this run writes "
                    f"{self._targets[target]} ({target}): choose another output"
                )


def check_same_image(sample: Sample, paths: StorePaths, *, overwrite: bool) -> None:
    """Check that a store does not hold the image of another source.

    Parameters
    ----------
    sample
        The sample to convert.
    paths
        Paths of its store.
    overwrite
        Whether the user allows to replace such an image: then nothing is checked.

    Raises
    ------
    OwnershipError
        The store holds the image of another source.
    """
    if overwrite or not paths.store.exists():
        return
    receipt = read_record(paths.level(0).array_receipt) or {}
    then, now = receipt.get("recipe", {}), recipe_of(sample, 0, paths)
    if "path" not in then:
        return
    moved = all(then.get(name) != now[name] for name in _PATH_KEYS)
    if moved and not _is_same_source(receipt, sample, paths):
        raise OwnershipError(
            f"{paths.store} holds the image of {then['path']} and would be overwritten by "
            f"{now['path']}: give it another name in a sample sheet, choose another output, or set "
            "overwrite: true"
        )


def stale(sample: Sample, paths: StorePaths, *, verify: str) -> dict[Path, str]:
    """Map each file of a sample that must be made again to the reason.

    Parameters
    ----------
    sample
        The sample, with its plan.
    paths
        Paths of its store.
    verify
        How the store is checked: "none", "quick" or "full".

    Returns
    -------
    dict
        Receipts and metadata files. Missing files are left out if Snakemake notices them itself.
    """
    found: dict[Path, str] = {}
    for number, place in enumerate(paths.levels(sample.blocks)):
        level = sample.levels[number]
        receipt = _read(place.array_receipt, found)
        if receipt is not None and (reason := _stale_array(sample, number, receipt, paths)):
            found[place.array_receipt] = reason
        _read(place.document, found)
        nonce = receipt and receipt.get("nonce")
        for block in range(level.blocks):
            block_file = place.block_receipt(block)
            written = _read(block_file, found)
            if written is None:
                continue
            region = [[side.start, side.stop] for side in level.region(block)]
            if nonce is not None and written.get("nonce") != nonce:
                found[block_file] = "its array was created again"
            elif written.get("region") != region or written.get("driver") != sample.zarr.driver:
                found[block_file] = "the blocks or the driver changed"
        if place.made_with is not None and place.made_with.exists():
            # Snakemake does not know the files of a coarse level except this one.
            found |= {file: "missing" for file in place.files(level.blocks) if not file.exists()}
    metadata = _read(paths.ome_receipt, found)
    planned = {"attributes": sample.attributes, "channels": sample.channels}
    if metadata is not None and {k: metadata.get(k) for k in planned} != _plain(planned):
        found[paths.ome_receipt] = "the metadata changed"
    if paths.nii:
        known = _read(paths.header_receipt, found)
        if known is not None and known.get("header") != sample.planned["header_checksum"]:
            found[paths.header_receipt] = "the NIfTI header changed"
    if paths.label and paths.group[0].exists() and (reason := publishing.list_problem(paths)):
        found[paths.group[0]] = reason
    if verify != "none":
        verified = _read(paths.verify_receipt, found)
        if verified is not None and verified.get("verify") != verify:
            found[paths.verify_receipt] = f"verify was {verified.get('verify')} and is now {verify}"
    return found


def job_outputs(sample: Sample, paths: StorePaths, files: Collection[Path]) -> set[Path]:
    """The files to request from Snakemake to make other files of a sample again.

    Parameters
    ----------
    sample
        The sample, with its plan.
    paths
        Paths of its store.
    files
        Receipts and metadata files, from `stale`.
    """
    if not files:
        return set()
    levels = zip(paths.levels(sample.blocks), sample.blocks, strict=True)
    outputs = {
        file: place.job_output(file) for place, count in levels for file in place.files(count)
    }
    return {outputs.get(file, file) for file in files}


class Todo:
    """Which files of a sample still have to be written, or written again.

    Parameters
    ----------
    sample
        The sample.
    paths
        Paths of its store.
    verify
        How the store is verified: "none", "quick" or "full".
    everything
        Whether all files have to be written again.

    Attributes
    ----------
    stale
        What `stale` returns.
    verify
        How the store is verified.
    """

    def __init__(
        self, sample: Sample, paths: StorePaths, *, verify: str, everything: bool = False
    ) -> None:
        self._everything, self.verify = everything, verify
        self.stale = stale(sample, paths, verify=verify)
        self._files = [*paths.group, *paths.header, paths.ome_receipt]
        if paths.nii:
            self._files.append(paths.header_receipt)
        self._files += map(paths.sidecar, sample.source.sidecars)
        if verify != "none":
            self._files.append(paths.verify_receipt)
        for number, count in enumerate(sample.blocks):
            self._files += paths.level(number).files(count)

    def is_done(self, *files: Path) -> bool:
        """Whether given files, by default all, exist and do not have to be written again."""
        return not self._everything and all(
            file not in self.stale and file.exists() for file in files or self._files
        )


def _stale_array(sample: Sample, number: int, receipt: Document, paths: StorePaths) -> str | None:
    """Return why a level must be created again, or None; `receipt` is that of its array."""
    recipe = recipe_of(sample, number, paths)
    if receipt.get("document") != _plain(sample.levels[number].document):
        return "its shape, data type, chunks or codec changed"
    if number == 0 and not _is_same_source(receipt, sample, paths):
        return "the source changed"
    made_from = receipt.get("recipe", {})
    if any(made_from.get(name) != recipe[name] for name in recipe if name not in _PATH_KEYS):
        return "the options or the kernel changed"
    return None


def recipe_of(sample: Sample, level: int, paths: StorePaths) -> Document:
    """Return the recipe of a level: what decides its voxels, apart from its metadata and its input.

    Parameters
    ----------
    sample
        The sample.
    level
        Number of the level. The recipe of level 0 also has the path of the source.
    paths
        Paths of its store, to which the path of the source is relative.
    """
    if level:
        return {
            "factors": list(sample.levels[level].factors),
            "mode": sample.mode,
            "kernel": kernels.KERNEL_VERSIONS[sample.mode],
        }
    path = relative = sample.path
    if not is_address(path):
        real = [os.path.realpath(part) for part in parts(path)]
        path = SEPARATOR.join(real)
        output = os.path.realpath(paths.output)
        relative = SEPARATOR.join(os.path.relpath(part, output) for part in real)
    return _plain(
        {
            "path": path,
            "relative_path": relative,
            "layout": {name: said for name, said in sample.layout.items() if name not in _PLACES},
            "kernel": voxels.COPY_VERSION,
        }
    )


def _is_same_source(receipt: Document, sample: Sample, paths: StorePaths) -> bool:
    files = sample.files
    if not files:  # A URL: changes of its content cannot be detected.
        then = receipt.get("recipe", {}).get("path")
        return bool(then == recipe_of(sample, 0, paths)["path"])
    return fingerprints.are_same(receipt.get("source", []), files)


def _read(file: Path, found: dict[Path, str]) -> Document | None:
    """Read a receipt; if it is damaged, return None and add it to the stale files in `found`."""
    document = read_record(file)
    if document is None and file.exists():
        found[file] = "damaged"
    return document


def _plain(document: Document) -> Document:
    """Convert a document to the types that it has when read back from JSON."""
    return json.loads(json.dumps(document))
