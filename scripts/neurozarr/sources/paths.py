"""What the path of a source can name: a file or a directory, many files, or an address."""

from __future__ import annotations

import glob
import os
import re

#: The place of an axis in the names of files: {z} stands for the numbers along z.
PLACE = r"\{([tczyx])\}"


def is_address(path: str) -> bool:
    """Whether a path is an address on the web."""
    return path.startswith(("http://", "https://"))


def is_pattern(path: str) -> bool:
    """Whether a path names many files: a glob, or a pattern with axes."""
    return re.search(PLACE, path) is not None or (not os.path.exists(path) and glob.has_magic(path))


def find(path: str) -> list[str]:
    """What a path names, in natural order; none where nothing is there."""
    if is_address(path):
        return [path]
    if not is_pattern(path):
        return [path] if os.path.exists(path) else []
    if not re.search(PLACE, path):
        return sorted(glob.glob(path, recursive=True), key=natural)
    return sorted(positions(path), key=natural)


def positions(pattern: str) -> dict[str, dict[str, int]]:
    """The files of a pattern with axes, and the number of each along every axis."""
    parts = re.split(PLACE, pattern)
    texts, axes = parts[::2], parts[1::2]
    name = re.escape(texts[0])
    for count, (axis, text) in enumerate(zip(axes, texts[1:], strict=True)):
        seen = axis in axes[:count]
        name += (f"(?P={axis})" if seen else f"(?P<{axis}>\\d+)") + re.escape(text)
    found = {}
    for file in glob.glob("*".join(map(glob.escape, texts))):
        if match := re.fullmatch(name, file):
            found[file] = {axis: int(number) for axis, number in match.groupdict().items()}
    return found


def natural(path: str) -> list[tuple[str, int]]:
    """A key that sorts names by the numbers in them: a2 before a10."""
    return [(text, int(part or 0)) for text, part in re.findall(r"(\D*)(\d*)", path)]
