"""Free space of a file system, and whether what is to be written fits in it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurozarr.preview import forecast
from neurozarr.preview.estimate import estimate
from neurozarr.preview.forecast import Size
from neurozarr.preview.work import Work
from neurozarr.samples.sample import Sample
from neurozarr.tables import bytes_text

Verdict = Literal["fits", "may not fit", "does not fit"]

#: Time in which chunks are encoded when a run starts, if it may not fit, in seconds.
SECONDS = 5.0


@dataclass(frozen=True)
class Free:
    """What a file system has left for the user.

    Attributes
    ----------
    folder
        Directory by which it was found.
    bytes
        Free space, in bytes. Quotas are not known.
    files
        Number of files that can be created; None if the file system has no limit.
    block
        Space that a file takes at least, in bytes.
    device
        Number that tells it from other file systems.
    """

    folder: Path
    bytes: int
    files: int | None
    block: int
    device: int = 0


def free_space(output: str | os.PathLike[str]) -> Free:
    """Look at the file system of a directory, or of its nearest parent that exists."""
    folder = Path(os.path.realpath(output))
    while not folder.is_dir():
        folder = folder.parent
    found = os.statvfs(folder)
    return Free(
        folder=folder,
        bytes=found.f_bavail * found.f_frsize,
        files=found.f_favail if found.f_files else None,
        block=found.f_frsize,
        device=folder.stat().st_dev,
    )


def disks(works: Sequence[Work]) -> list[tuple[Free, list[Work]]]:
    """Each file system to which a run writes, with what it writes there."""
    folders: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        folders[os.path.dirname(work.store)].append(work)
    found: dict[int, tuple[Free, list[Work]]] = {}
    for folder, some in folders.items():
        free = free_space(folder)
        found.setdefault(free.device, (free, []))[1].extend(some)
    return list(found.values())


def verdict(size: Size, files: int, replaced: int, free: Free) -> Verdict:
    """Say whether stores fit in a file system.

    Parameters
    ----------
    size
        What is to be written.
    files
        Number of new files.
    replaced
        Size of files that are deleted before, in bytes.
    free
        The file system.

    Returns
    -------
    str
        "does not fit" if even the least size is larger, or there would be too many files; "may not
        fit" if the largest size is, with the rest of the last block of each file.
    """
    available = free.bytes + replaced
    if size.low > available or (free.files is not None and files > free.files):
        return "does not fit"
    blocks = max(size.high + files * free.block / 2, files * free.block)
    return "may not fit" if blocks > available else "fits"


def replaced(works: Sequence[Work]) -> int:
    """Size of the files that are deleted because others replace them, in bytes."""
    return sum(level.replaced for work in works for level in work.levels)


def problem(
    works: Sequence[Work],
    sample: Callable[[str], Sample],
    free: Free,
    *,
    threads: int,
) -> tuple[Verdict, str]:
    """Say whether a run fits, and why not.

    No chunk is encoded if it fits even without compression.

    Parameters
    ----------
    works
        What is left to be done.
    sample
        Returns a sample, by its name.
    free
        The file system of the output.
    threads
        Number of threads that read and encode chunks.

    Returns
    -------
    Verdict, str
        The verdict, and a message in one line; "" if it fits.
    """
    files = sum(map(forecast.inodes, works))
    most = sum(map(forecast.most, works))
    if verdict(Size(low=most, about=most, high=most), files, replaced(works), free) == "fits":
        return "fits", ""
    found = estimate(works, sample, threads=threads, seconds=SECONDS)
    size = found.total(works)
    said = verdict(size, files, replaced(works), free)
    if said == "fits":
        return said, ""
    todo = "if the disk becomes full, free space and run again: what is written is kept"
    if said == "does not fit":
        todo = "free space or choose another output; to write as much as fits, set resources."
        todo += "check_space to false"
    return said, f"{explain(size, files, free)}; {todo}"


def explain(size: Size, files: int, free: Free) -> str:
    """What is needed, and what there is, in a sentence."""
    if free.files is not None and files > free.files:
        return (
            f"the stores have about {files:,} files, but the file system of {free.folder} has room "
            f"for {free.files:,} more (larger chunks or zarr.shard make fewer)"
        )
    return (
        f"the stores need about {bytes_text(size.about)} ({bytes_text(size.low)} to "
        f"{bytes_text(size.high)}), and {bytes_text(free.bytes)} are free in the file system of "
        f"{free.folder}"
    )
