"""Lines of the tables that commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def by(numbers: Iterable[object]) -> str:
    """Lengths along axes, such as "2 x 24 x 96"."""
    return " x ".join(str(number) for number in numbers)


def voxel_size(sizes: Sequence[float]) -> str:
    """Sizes of a voxel along axes, or "unknown" if there are none."""
    return by(map(length_text, sizes)) if sizes else "unknown"


def length_text(size: float) -> str:
    """A length with at least four digits, such as "0.325" or "12346"."""
    return f"{size:.0f}" if 1e4 <= size < 1e10 else f"{size:.4g}"


def level_line(level: str, shape: str, size: str, chunk: str, *numbers: str) -> str:
    """A line of a table of levels, or its headings; the last columns are numbers."""
    words = f"{level:<6} {shape:<23} {size:<27} {chunk:<19}"
    return " ".join([words, *(f"{number:>10}" for number in numbers)])


def bytes_text(size: float) -> str:
    """A number of bytes in a unit with at most four digits before the point, such as "12.3 GB"."""
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} PB"


def duration(seconds: float) -> str:
    """A duration in words, such as "40 s", "12 min" or "3.4 h"."""
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
