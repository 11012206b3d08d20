"""Find the files of a sample that must be made again, because their receipts differ from the plan.

Only receipts are compared, which record what each step used. So the result does not depend on the
working directory, on Snakemake's own records in `.snakemake`, or on modification times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neurozarr import fingerprints, voxels
from neurozarr.errors import OwnershipError
from neurozarr.regions import parent_region
from neurozarr.run import extending, publishing, sidecars
from neurozarr.sources.paths import SEPARATOR, is_address, parts
from neurozarr.voxels import kernels
from neurozarr.zarr.chunks import chunk_keys
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
    groups
        For each sample whose levels are added to an image of others: the directory of its group.
    """

    def __init__(self, paths: Iterable[Path], groups: Mapping[str, Path] | None = None) -> None:
        self._groups = groups or {}
        self._targets = {os.path.realpath(path): path for path in paths}
        self._above = {
            str(parent): target for target in self._targets for parent in Path(target).parents
        }

    def check_sample(self, sample: Sample) -> None:
        """Check that what a sample is made from is not written by this run: see `check_apart`.

        An image to which levels are added must not be the source of another sample.
        """
        own = self._groups.get(sample.name)
        read = sample.read_paths if own is None else [own]
        self.check_apart(read)
        for name, group in self._groups.items():
            # The labels of an image, which are images within its group, can have levels added too.
            found = (
                group
                if own == group
                else next((path for path in read if own is None and _overlap(path, group)), None)
            )
            if name != sample.name and found is not None:
                raise OwnershipError(
                    f"source {found} would be changed, because the sample {name} adds levels to "
                    f"{group} (in_place): leave one of them out of this run"
                )

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


def _overlap(one: Path, other: Path) -> bool:
    """Whether one of two paths equals or contains the other."""
    first, second = (Path(os.path.realpath(path)) for path in (one, other))
    return first == second or first in second.parents or second in first.parents


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
    if paths.place is not None:
        extending.check_image(paths)
        return
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
        Receipts and metadata files. Missing files are left out if the image is not published, or
        Snakemake notices them itself.
    """
    found: dict[Path, str] = {}
    missing: list[Path] = []
    for number, place in enumerate(paths.levels(sample.blocks)):
        level = sample.levels[number]
        if place.given:
            continue
        receipt = _read(place.array_receipt, found)
        if receipt is None:
            missing.append(place.array_receipt)
        elif reason := _stale_array(sample, number, receipt, paths):
            found[place.array_receipt] = reason
        if _read(place.document, found) is None and place.in_place and receipt is not None:
            found.setdefault(place.document, "missing")  # Snakemake does not know it.
        nonce = receipt and receipt.get("nonce")
        for block in range(level.blocks):
            block_file = place.block_receipt(block)
            written = _read(block_file, found)
            if written is None:
                missing.append(block_file)
                continue
            region = [[side.start, side.stop] for side in level.region(block)]
            if nonce is not None and written.get("nonce") != nonce:
                found[block_file] = "its array was created again"
            elif written.get("region") != region or written.get("driver") != sample.zarr.driver:
                found[block_file] = "the blocks or the driver changed"
            elif number == sample.first > 0 and written.get("parent") != fingerprint_of_parent(
                sample, paths, block
            ):
                found[block_file] = "the level that it is made from changed"
        if place.made_with is not None and place.made_with.exists():
            # Snakemake does not know the files of a coarse level except this one.
            found |= {file: "missing" for file in place.files(level.blocks) if not file.exists()}
    metadata = _read(paths.ome_receipt, found)
    if metadata is None:
        missing.append(paths.ome_receipt)
    planned = {"attributes": sample.attributes, "channels": sample.channels}
    if metadata is not None and {k: metadata.get(k) for k in planned} != _plain(planned):
        found[paths.ome_receipt] = "the metadata changed"
    if paths.place is not None and metadata is not None and (reason := extending.problem(paths)):
        found[paths.ome_receipt] = reason
    if paths.nii:
        known = _read(paths.header_receipt, found)
        if known is None:
            missing.append(paths.header_receipt)
        elif known.get("header") != sample.planned["header_checksum"]:
            found[paths.header_receipt] = "the NIfTI header changed"
    if paths.sidecar_receipt.exists() and (why := sidecars.outdated(paths, sample.sidecars)):
        found[paths.sidecar_receipt] = why
    if paths.label and paths.group[0].exists() and (reason := publishing.list_problem(paths)):
        found[paths.group[0]] = reason
    if verify != "none":
        verified = _read(paths.verify_receipt, found)
        if verified is not None and verified.get("verify") != verify:
            found[paths.verify_receipt] = f"verify was {verified.get('verify')} and is now {verify}"
    # Snakemake deletes the receipt of a job before it starts it. If the run was killed then, the
    # image is still published, and Snakemake would not look for what it was made from.
    if all(file.exists() for file in paths.marks):
        found |= {file: "missing" for file in missing if file not in found}
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
        levels = [paths.level(number) for number in range(sample.first, len(sample.blocks))]
        if paths.nii:
            self._files.append(paths.header_receipt)
        self._files += map(paths.sidecar, sample.sidecars)
        if sample.sidecars or paths.sidecar_receipt.exists():
            self._files.append(paths.sidecar_receipt)
        self._verified = [] if verify == "none" else [paths.verify_receipt]
        for level, count in zip(levels, sample.blocks[sample.first :], strict=True):
            self._files += level.files(count)

    def is_done(self, *files: Path) -> bool:
        """Whether given files, by default all, exist and do not have to be written again."""
        wanted = files or (*self._files, *self._verified)
        return not self._everything and all(
            file not in self.stale and file.exists() for file in wanted
        )

    def is_written(self) -> bool:
        """Whether nothing but the verification has to be done."""
        return self.is_done(*self._files)


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
            **_made_from(sample, level),
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


def _made_from(sample: Sample, level: int) -> Document:
    """The metadata of the array from which the first added level is made, without attributes."""
    if level != sample.first:
        return {}
    document = sample.levels[level - 1].document
    return {"parent": {k: v for k, v in document.items() if k != "attributes"}}


def _is_same_source(receipt: Document, sample: Sample, paths: StorePaths) -> bool:
    files = sample.files
    if not files:  # A URL: changes of its content cannot be detected.
        then = receipt.get("recipe", {}).get("path")
        return bool(then == recipe_of(sample, 0, paths)["path"])
    return fingerprints.are_same(receipt.get("source", []), files)


def fingerprint_of_parent(sample: Sample, paths: StorePaths, block: int) -> Document:
    """Fingerprint of the files from which a block of the first added level is made.

    They are those of the last level that the image of others has.
    """
    level, parent = sample.levels[sample.first], sample.levels[sample.first - 1]
    region = parent_region(level.region(block), level.factors, parent.shape)
    folder = paths.level(sample.first - 1).folder
    return fingerprints.of_chunks(folder, chunk_keys(parent.document, region))


def _read(file: Path, found: dict[Path, str]) -> Document | None:
    """Read a receipt; if it is damaged, return None and add it to the stale files in `found`."""
    document = read_record(file)
    if document is None and file.exists():
        found[file] = "damaged"
    return document


def _plain(document: Document) -> Document:
    """Convert a document to the types that it has when read back from JSON."""
    return json.loads(json.dumps(document))
