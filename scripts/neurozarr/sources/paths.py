"""What the path of a source can name: a file or a directory, many files, or an address."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter

from neurozarr.errors import ConfigError

logger = logging.getLogger(__name__)

#: The place of an axis in the names of files: {z} stands for the numbers along z.
PLACE = r"\{([tczyx])\}"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
#: Where a run writes in the working directory, and in its output.
_BESIDE = ("logs", "benchmarks", ".snakemake")
_INSIDE = ("nifti", "verify", ".state")


def is_address(path: str) -> bool:
    """Whether a path is an address on the web."""
    return path.startswith(("http://", "https://"))


def expand(path: str, *, addresses: bool = False) -> str:
    """A path as a user writes it, with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced.

    Parameters
    ----------
    path
        A path, a pattern or an address, which is left as it is.
    addresses
        Whether addresses on the web can be read there.

    Raises
    ------
    ConfigError
        It is an address of another kind; there is no such user, or no such variable, nor a file of
        that very name.
    """
    if addresses and is_address(path):
        return path
    if match := _SCHEME.match(path):
        can = "a path, http:// or https://" if addresses else "a path"
        raise ConfigError(f"{path}: {match[0]} is not supported; give {can}")

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ and not os.path.lexists(path):
            raise ConfigError(f"{path}: there is no variable {name} in the environment")
        return os.environ.get(name, match[0])

    known = _VARIABLE.sub(value, path)
    home = os.path.expanduser(known)
    if not home.startswith("~"):
        return home
    if not os.path.lexists(home):
        raise ConfigError(f"{path}: there is no user {home[1:].partition('/')[0]}, nor such a file")
    return os.path.abspath(home)  # For libraries that would expand it again.


def normal(path: str) -> str:
    """A path that leads to the same place without ``.``, and without ``..`` but at its start.

    It stays relative, unless a link is in the way of a ``..``.
    """
    short = re.sub("^//+", "/", os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else os.path.realpath(path)


def is_pattern(path: str) -> bool:
    """Whether a path names many files: a glob, or a pattern with axes."""
    return has_places(path) or is_glob(path)


def has_places(path: str) -> bool:
    """Whether a path has places of axes, and is no file of that name."""
    return re.search(PLACE, path) is not None and not os.path.exists(path)


def is_glob(path: str) -> bool:
    """Whether a path has the wildcards of a glob, and is no file of that name."""
    if is_address(path) or has_places(path):
        return False
    return glob.has_magic(path) and not os.path.exists(path)


def find(path: str) -> list[str]:
    """What a path names, in natural order; none where nothing is there."""
    if is_address(path):
        return [path]
    if not is_pattern(path):
        return [path] if os.path.exists(path) else []
    if not has_places(path):
        return sorted(glob.glob(path, recursive=True), key=natural)
    return sorted(positions(path), key=natural)


def sources(pattern: str, output: str) -> list[str]:
    """What a glob names, in natural order, without what runs write; a warning tells what that is.

    Parameters
    ----------
    pattern
        A glob. One that starts in the output may name what others have put there.
    output
        Directory of the stores, each of which has another of its name in ``.state``.
    """
    written = _written(pattern, os.path.realpath(output))
    kept, left = [], Counter[str]()
    for path in sorted(glob.glob(pattern, recursive=True), key=natural):
        real = os.path.realpath(path)
        folder = next((folder for folder in written if is_within(real, folder)), None)
        if folder is None:
            kept.append(path)
        else:
            left[os.path.relpath(folder)] += 1
    if left:
        logger.warning(
            "source %r: %d of what it names is left out, as a run writes there: %s; what is to be "
            "converted nevertheless has to be named without a glob",
            pattern,
            left.total(),
            ", ".join(f"{count} in {folder}" for folder, count in left.items()),
        )
    return kept


def is_within(path: str, folder: str) -> bool:
    """Whether a real path is a directory, or in it."""
    return os.path.commonpath((path, folder)) == folder


def _written(pattern: str, output: str) -> list[str]:
    """Real paths of the directories that runs write, as far as a glob is not to look there."""
    start = pattern
    while glob.has_magic(start):
        start = os.path.dirname(start)
    inside = [output]
    if is_within(os.path.realpath(start), output):
        state = os.path.join(output, ".state")
        stores = os.listdir(state) if os.path.isdir(state) else []
        inside = [os.path.join(output, name) for name in (*_INSIDE, *stores)]
    return [os.path.realpath(folder) for folder in (*inside, *_BESIDE)]


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
