"""Which machine this is, and whether a process of it is still the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def this_machine() -> str:
    """What identifies this machine, since its last start, and the container; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_alive(machine: str, process: Sequence[Any]) -> bool:
    """Whether a process of this machine goes on; False if it was one of another machine.

    Parameters
    ----------
    machine
        What `this_machine` has returned for it.
    process
        Its number, and what `start_of_process` has returned.
    """
    number, start = process
    is_here = bool(machine) and machine == this_machine()
    return is_here and start_of_process(number) == start != ""


def start_of_process(number: int) -> str:
    """When a process started, in ticks of this machine; "" if there is none (see proc(5))."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
