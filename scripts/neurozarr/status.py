"""The command `neurozarr status`: how far runs are, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from neurozarr.errors import ConfigError
from neurozarr.run.live import is_terminal
from neurozarr.run.status import Status, read
from neurozarr.run.status_text import text
from neurozarr.samples.options import FOUND_CONFIG, output_of

#: ECMA-48: move to the start of the screen, and erase all from the cursor on.
_HOME, _ERASE = "\x1b[H", "\x1b[J"


def configured_output() -> str:
    """Output directory of the configuration file in the working directory, or the default one.

    Raises
    ------
    ConfigError
        The file is not valid.
    """
    if not FOUND_CONFIG.exists():
        return output_of({})
    try:
        found = yaml.safe_load(FOUND_CONFIG.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{FOUND_CONFIG}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict | None):
        raise ConfigError(f"{FOUND_CONFIG}: not a mapping of options to values")
    return output_of(found or {})


def watch(outputs: Sequence[str], *, everything: bool, seconds: float | None) -> int:
    """Print how far the runs of output directories are.

    Parameters
    ----------
    outputs
        The directories.
    everything
        Whether all samples are listed.
    seconds
        Time after which it is printed again, while a run is in progress; None to print it once.

    Returns
    -------
    int
        0 if all samples are done; 3 if a run is in progress and no sample has failed; otherwise 1.

    Raises
    ------
    ConfigError
        A directory does not exist, or no run has written to it.
    """
    is_rewritten = seconds is not None and is_terminal(sys.stdout)
    while True:
        found = [_read(output) for output in outputs]
        said = "\n\n".join(
            text(status, output, everything=everything)
            for output, status in zip(outputs, found, strict=True)
        )
        print(f"{_HOME}{_ERASE}{said}" if is_rewritten else said, flush=True)
        code = max(map(exit_status, found), key=[0, 3, 1].index)
        if seconds is None or not any(is_active(status) for status in found):
            return code
        time.sleep(seconds)


def exit_status(status: Status) -> int:
    """The exit status for an output directory: see `watch`."""
    states = {sample.state for sample in status.samples}
    if states <= {"done"}:
        return 0
    return 3 if states <= {"done", "running", "waiting"} else 1


def is_active(status: Status) -> bool:
    """Whether a run is in progress."""
    return any(run.state == "active" for run in status.runs)


def _read(output: str) -> Status:
    found = read(output)
    if not found.samples:
        exists = Path(output).is_dir()
        raise ConfigError(
            f"{output}: {'no run has written to it' if exists else 'it does not exist'}"
        )
    return found
