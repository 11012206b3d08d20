"""Which machine this is, and whether a process of it is still the same."""

from __future__ import annotations

import os
from pathlib import Path


def this_machine() -> str:
    """What identifies this machine, since its last start, and the container; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def start_of_process(number: int) -> str:
    """When a process started, in ticks of this machine; "" if there is none (see proc(5))."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
