"""The tables of a report, from the metadata of a store, its receipts and its benchmarks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr import units
from neurozarr.axes import SPATIAL
from neurozarr.drivers import open_array
from neurozarr.nifti.header import affines
from neurozarr.report.image import Image, Level
from neurozarr.run.benchmarks import Measured
from neurozarr.run.paths import StorePaths
from neurozarr.tables import length_text
from neurozarr.zarr import metadata as zarr_metadata
from neurozarr.zarr.documents import HEADER, Document, read_record

#: Packages whose versions are listed.
_PACKAGES = ("numpy", "tensorstore", "zarr", "numcodecs", "nibabel", "snakemake")
#: Steps in the order in which they are done, and what they are called.
_STEPS = {
    "create_array": "create the array",
    "write_base": "write the voxels of the source",
    "pyramid_level": "downsample",
    "ome_metadata": "check all levels, make the metadata",
    "extend_metadata": "check the added levels, list them in the metadata",
    "nifti_header": "write the NIfTI header",
    "verify_store": "verify",
}
#: Names of the codes of sform and qform.
_CODES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI 152", 5: "template"}
_MB = 1e6
_TIMES = " \N{MULTIPLICATION SIGN} "
#: Decimals of the numbers of an affine, which headers have as 32-bit floats.
_DECIMALS = 5


@dataclass(frozen=True, kw_only=True)
class LevelFacts:
    """A row of the table of levels: texts, and bytes of voxels, files, and bytes on disk.

    The last two are None for levels of others.
    """

    number: int
    shape: str
    size: str
    chunks: str
    shards: str
    raw: int
    files: int | None
    stored: int | None


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """A row of the table of steps.

    Attributes
    ----------
    name
        What was done.
    jobs
        Number of jobs, or of blocks.
    seconds
        Sum of their durations.
    speed
        MB of voxels that were written in a second; None if it writes none.
    megabytes
        Largest memory of a process; None if unknown.
    """

    name: str
    jobs: int
    seconds: float
    speed: float | None
    megabytes: float | None


def by(numbers: Iterable[object]) -> str:
    """Numbers as text, such as 2 × 3 × 4."""
    texts = (length_text(each) if isinstance(each, float) else str(each) for each in numbers)
    return _TIMES.join(texts)


def voxel_size(image: Image, level: Level) -> str:
    """Voxel size of a level along the spatial axes, in the order of the array, with its unit."""
    sizes = [level.size[SPATIAL.index(axis)] for axis in image.space_axes]
    return f"{by(sizes)} {units.symbol(image.unit)}".strip()


def level_facts(image: Image, paths: StorePaths) -> list[LevelFacts]:
    """Shape, voxel size, chunks and size on disk of each level."""
    found = []
    for level in image.levels:
        receipts = (paths.state / str(level.number)).glob("block-*.json")
        blocks = [read_record(file) or {} for file in receipts]
        found.append(
            LevelFacts(
                number=level.number,
                shape=by(level.shape),
                size=voxel_size(image, level),
                chunks=by(level.chunks),
                shards=by(level.shards) if level.shards else "none",
                raw=math.prod(level.shape) * level.dtype.itemsize,
                files=None if level.is_given else sum(block.get("files", 0) for block in blocks),
                stored=None if level.is_given else sum(block.get("bytes", 0) for block in blocks),
            )
        )
    return found


def codec(document: Document) -> str:
    """The compression of an array, such as "blosc (cname zstd, clevel 1)".

    Of codecs that only others write, the names.
    """
    try:
        options = zarr_metadata.options(document)
    except (KeyError, ValueError):
        return ", ".join(zarr_metadata.codec_names(document))
    if options["compressor"] is None:
        return "none"
    settings = ", ".join(f"{name} {value}" for name, value in options["compressor_options"].items())
    return f"{options['compressor']} ({settings})" if settings else options["compressor"]


def statistics(paths: StorePaths) -> dict[str, Any]:
    """Least, greatest and mean value of level 0, of all its finite voxels; empty if unknown."""
    files = paths.level(0).state.glob("block-*.json")
    blocks = [block for file in files if (block := read_record(file)) is not None]
    finite = [block for block in blocks if block.get("minimum") is not None]
    if not finite:
        return {}
    found = {
        "minimum": min(block["minimum"] for block in finite),
        "maximum": max(block["maximum"] for block in finite),
    }
    count = sum(block["count"] for block in finite)
    if count and all(isinstance(block["total"], int | float) for block in finite):
        found["mean"] = sum(block["total"] for block in finite) / count
    return found


def steps(measured: Sequence[Measured], image: Image) -> list[StepFacts]:
    """What each step took, with all jobs of a level in one row."""
    groups: dict[tuple[int, int], list[Measured]] = defaultdict(list)
    order = list(_STEPS)
    for each in measured:
        level = 0 if each.step == "write_base" else each.level
        if each.step in order and (level or 0) < len(image.levels):
            groups[order.index(each.step), -1 if level is None else level].append(each)
    numbers = {level for step, level in groups if order[step] == "pyramid_level"}
    parent = max((level.number for level in image.levels if level.is_given), default=0)
    found = []
    for (step, level), jobs in sorted(groups.items(), key=lambda group: _when(*group[0])):
        name, text = order[step], _STEPS[order[step]]
        levels: Sequence[Level] = ()
        if name in ("write_base", "pyramid_level"):
            # The job that is named after the last level makes all coarse levels.
            before = max((number for number in numbers if number < level), default=parent)
            levels = image.levels[min(level, before + 1) : level + 1]
        if level >= 0:
            many = f"levels {levels[0].number} to {level}" if len(levels) > 1 else f"level {level}"
            text = f"{many}: {text}"
        seconds = sum(job.seconds for job in jobs)
        written = sum(math.prod(each.shape) * each.dtype.itemsize for each in levels)
        memory = [job.megabytes for job in jobs if job.megabytes is not None]
        found.append(
            StepFacts(
                name=text,
                jobs=len(jobs),
                seconds=seconds,
                speed=written / _MB / seconds if written and seconds else None,
                megabytes=max(memory, default=None),
            )
        )
    return found


def _when(step: int, level: int) -> tuple[int, int]:
    """Order of the rows: level by level, then what is done once."""
    return (level, step) if level >= 0 else (10**6, step)


def source_files(paths: StorePaths) -> tuple[str, int, int]:
    """Path of the source, number of its files, and their size in bytes, from the receipt."""
    receipt = read_record(paths.level(0).array_receipt) or {}
    files = receipt.get("source", [])
    size = sum(file.get("size", 0) for file in files)
    return str(receipt.get("recipe", {}).get("path", "")), len(files), size


def versions(paths: StorePaths, levels: Sequence[Level]) -> dict[str, str]:
    """Versions of this package that made the levels, and of packages that are installed now."""
    numbers = [level.number for level in levels if not level.is_given]
    receipts = [read_record(paths.level(number).array_receipt) or {} for number in numbers]
    made = dict.fromkeys(str(receipt.get("version", "unknown")) for receipt in receipts)
    found = {"neurozarr": ", ".join(made)} if made else {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def header_affines(raw: bytes) -> list[tuple[str, list[list[str]]]]:
    """Names and rows of the affines in a NIfTI header; the same one only once."""
    found: list[tuple[str, np.ndarray[Any, Any]]] = []
    for code, matrix in affines(raw):
        rounded = np.round(matrix[:3], _DECIMALS) + 0.0  # without -0
        if not any(np.allclose(rounded, other, atol=1e-4) for _, other in found):
            found.append((_CODES.get(code, f"code {code}"), rounded))
    return [(name, [[f"{value:g}" for value in row] for row in rows]) for name, rows in found]


def tilt(raw: bytes) -> float:
    """Largest angle between a voxel axis and the anatomical axis that it is along, in degrees."""
    found = affines(raw)
    if not found:
        return 0.0
    matrix = found[0][1][:3, :3]
    cosines = np.abs(matrix / np.linalg.norm(matrix, axis=0)).max(axis=0)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))


def verified(paths: StorePaths) -> Mapping[str, Any] | None:
    """The report of the verification of a store, and when it was; None if there was none.

    The receipt is deleted when the store changes, unlike the report, and not written for damage.
    """
    report = read_record(paths.report) if paths.verify_receipt.exists() else None
    return report and report | {"time": modified(paths.report)}


def modified(file: Path) -> str:
    """When a file was changed last, in UTC; "" if there is none."""
    try:
        time = file.stat().st_mtime
    except FileNotFoundError:
        return ""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"


def header_of(paths: StorePaths, driver: str) -> bytes:
    """Bytes of the NIfTI header of a store; empty if it has none."""
    if not paths.nii:
        return b""
    return open_array(paths.store / HEADER, "r", driver=driver)[...].tobytes()
