"""How much of a block, or of a bundle, is written: a small file of its job, for those who look on.

The job writes it every few seconds and deletes it at its end. Nothing else reads it, so it is not
synced to the disk, and what is left of a killed job does no harm.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import TracebackType

from neurozarr.run.paths import LevelPaths

logger = logging.getLogger(__name__)

#: Seconds between two times that the file is written. A shorter job never writes it.
INTERVAL = 2.0


class Partial:
    """Counts what a job writes, and tells it in a file.

    Parameters
    ----------
    file
        The file, in a directory that exists.
    above
        The count of a larger piece of work, of which this one is a part; or None.
    check
        Called as often as the file is written: it raises an error if the job must end.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self,
        file: Path,
        above: Partial | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._above, self._clock = file, above, clock
        self._check = check
        self._lock = Lock()
        self._bytes = 0
        self._told: float = clock()
        self._checked = self._told

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.unlink(missing_ok=True)

    def add(self, count: int) -> None:
        """Count voxels that were written, in bytes; threads may call it at once."""
        with self._lock:
            self._bytes += count
            now = self._clock()
            if now - self._checked >= INTERVAL:
                self._checked = now
                self._check()
            if now - self._told >= INTERVAL:
                self._told = now
                self._tell()
        if self._above is not None:
            self._above.add(count)

    def _tell(self) -> None:
        temporary = self._file.with_name(f"{self._file.name}.tmp")
        try:
            temporary.write_text(json.dumps({"bytes": self._bytes}))
            os.replace(temporary, self._file)
        except OSError as error:  # It is no reason to stop: if the disk is full, the voxels say so.
            logger.warning("%s: cannot be written (%s)", self._file, error.strerror)
            self._told = math.inf  # Not again.


def bytes_in(file: Path, *, since: float) -> int:
    """Return what a `Partial` has told; 0 if there is no file, or an older one than ``since``."""
    try:
        with file.open() as stream:
            is_old = os.fstat(stream.fileno()).st_mtime < since
            return 0 if is_old else max(0, int(json.load(stream)["bytes"]))
    except (OSError, ValueError, TypeError, KeyError):  # The job may delete it at any moment.
        return 0


def bytes_of_block(level: LevelPaths, block: int, size: int, *, since: float) -> int:
    """Return how much of a block is written, in bytes of its voxels.

    Parameters
    ----------
    level, block
        Paths of the level, and number of the block.
    size
        Size of the block.
    since
        When the run began: what is older is of another one.
    """
    told = min(size, bytes_in(level.partial(block), since=since))
    try:
        return size if level.block_receipt(block).stat().st_mtime >= since else told
    except OSError:
        return told
