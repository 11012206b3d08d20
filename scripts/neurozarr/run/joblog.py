"""The log file of one job: its messages and, if it fails, the error."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from neurozarr.errors import ClaimError, NeurozarrError

FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def logged_also(path: str | os.PathLike[str], mode: str = "w") -> Iterator[None]:
    """Log to a second file, while a job works on one of several samples; "a" appends to it."""
    handler = logging.FileHandler(path, mode)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Log to a file while a job runs; an error is also printed on the terminal, in one line.

    Crashes, and errors that are not a `NeurozarrError`, are logged with a traceback.
    """
    handler = logging.FileHandler(path, "w")
    logging.basicConfig(
        handlers=[handler],
        level=logging.INFO,
        format=FORMAT,
        force=True,
    )
    faulthandler.enable(handler.stream or sys.stderr)
    logging.captureWarnings(True)
    try:
        yield
    except Exception as error:
        logging.error("%s", error, exc_info=not isinstance(error, NeurozarrError))
        # Of samples that failed together, each line names its own log.
        first, *others = str(error).split("\n")
        said = [f"{type(error).__name__}: {first} (more in {path})", *others]
        print("\n".join(said), file=sys.stderr)
        # A job whose sample another run has claimed must not fail: Snakemake would delete its
        # outputs, which now belong to that run.
        raise SystemExit(0 if isinstance(error, ClaimError) else 1) from None
