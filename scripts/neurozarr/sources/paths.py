"""Paths of sources: files, directories, globs, patterns with axes, lists of these, and URLs."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from neurozarr.errors import ConfigError
from neurozarr.files import content_elsewhere

logger = logging.getLogger(__name__)

#: Placeholder of an axis in a pattern: {z} stands for the position along z.
PLACE = r"\{([tczyx])\}"
#: Between the paths of a list.
SEPARATOR = ";"
#: {c} beside another placeholder.
_NEIGHBOURS = re.compile(rf"\{{c\}}{PLACE}|{PLACE}\{{c\}}")
#: A word that {c} may stand for, such as Cy3 or T2-FLAIR.
_WORD = r"[^/_.]+"
#: What precedes the URL of a precomputed volume, as in Neuroglancer.
PRECOMPUTED = "precomputed://"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
#: Directories that a run writes to in the working directory and in the output directory.
_BESIDE = ("logs", "benchmarks", ".snakemake")
_INSIDE = ("nifti", "reports", "verify", ".state")
#: Endings of the names of directories that are images.
_STORES = (".zarr", ".n5")
#: Number of files that are counted in a directory that is not an image.
_COUNTED = 10_000


def is_address(path: str) -> bool:
    """Whether a path is a URL."""
    return path.removeprefix(PRECOMPUTED).startswith(("http://", "https://"))


def expand(path: str, *, addresses: bool = False) -> str:
    """Replace ``~``, ``~user``, ``$NAME`` and ``${NAME}`` in a path.

    Parameters
    ----------
    path
        A path, a pattern, a list of these, or a URL; URLs are not changed.
    addresses
        Whether URLs are allowed.

    Returns
    -------
    str
        The expanded path.

    Raises
    ------
    ConfigError
        The kind of URL is not supported, or there is no such user or variable, and no file with
        that literal name.
    """
    if addresses and is_address(path):
        return path
    if is_list(path):
        return SEPARATOR.join(expand(part, addresses=addresses) for part in parts(path))
    if match := _SCHEME.match(path):
        can = "a path, http:// or https://" if addresses else "a path"
        raise ConfigError(f"{path}: {match[0]} is not supported; give {can}")

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ and not os.path.lexists(path):
            raise ConfigError(f"{path}: the environment variable {name} is not set")
        return os.environ.get(name, match[0])

    known = _VARIABLE.sub(value, path)
    home = os.path.expanduser(known)
    if not home.startswith("~"):
        return home
    if not os.path.lexists(home):
        raise ConfigError(f"{path}: there is no user {home[1:].partition('/')[0]}, nor such a file")
    return os.path.abspath(home)  # So that libraries do not expand the ~ again.


def normal(path: str) -> str:
    """Normalize a path: without ``.``, and without ``..`` except at its start.

    It stays relative, unless removing a ``..`` after a symbolic link would change its target.
    """
    short = re.sub("^//+", "/", os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else os.path.realpath(path)


def is_pattern(path: str) -> bool:
    """Whether a path stands for many files: a glob, a pattern with axes, or a list."""
    return is_list(path) or has_places(path) or is_glob(path)


def is_list(path: str) -> bool:
    """Whether a path is a list of paths, and there is no file with that literal name."""
    return SEPARATOR in path and not is_address(path) and not os.path.exists(path)


def parts(path: str) -> list[str]:
    """The paths of a list; of any other path, the path itself."""
    if not is_list(path):
        return [path]
    return [part.strip() for part in path.split(SEPARATOR) if part.strip()]


def has_places(path: str) -> bool:
    """Whether a path has placeholders of axes, and there is no file with that literal name."""
    if is_list(path) or not re.search(PLACE, path):
        return False
    return not os.path.exists(path)


def is_glob(path: str) -> bool:
    """Whether a path has wildcards, and there is no file with that literal name."""
    if is_address(path) or is_list(path) or has_places(path):
        return False
    return glob.has_magic(path) and not os.path.exists(path)


def find(path: str) -> list[str]:
    """Files and directories that a path stands for, in natural order; empty if there are none.

    The paths of a list keep its order; all of them must exist.
    """
    if is_address(path):
        return [path]
    if is_list(path):
        each = [find(part) for part in parts(path)]
        return [file for found in each for file in found] if all(each) else []
    if not is_pattern(path):
        return [path] if os.path.exists(path) else []
    if not has_places(path):
        return sorted(glob.glob(path, recursive=True), key=natural)
    return sorted(positions(path).files, key=natural)


def sources(pattern: str, output: str) -> list[str]:
    """Expand a glob, without the files that runs write; these are reported by a warning.

    Parameters
    ----------
    pattern
        A glob. If it starts in the output directory, it may match files there that are not of runs.
    output
        Output directory of the run, whose subdirectory ``.state`` has an entry for each store.

    Returns
    -------
    list[str]
        The paths, in natural order.
    """
    written = _written(pattern, os.path.realpath(output))
    kept, ignored = [], Counter[str]()
    for path in sorted(glob.glob(pattern, recursive=True), key=natural):
        real = os.path.realpath(path)
        folder = next((folder for folder in written if is_within(real, folder)), None)
        if folder is None:
            kept.append(path)
        else:
            ignored[os.path.relpath(folder)] += 1
    if ignored:
        logger.warning(
            "source %r: %d matches are ignored, because runs write there: %s; to convert them, "
            "name them without a glob",
            pattern,
            ignored.total(),
            ", ".join(f"{count} in {folder}" for folder, count in ignored.items()),
        )
    return kept


def is_within(path: str, folder: str) -> bool:
    """Whether a path is in a directory, or the directory itself; both without symbolic links."""
    return os.path.commonpath((path, folder)) == folder


def _written(pattern: str, output: str) -> list[str]:
    """Real paths of the directories that runs write and that a glob must not match."""
    start = pattern
    while glob.has_magic(start):
        start = os.path.dirname(start)
    inside = [output]
    if is_within(os.path.realpath(start), output):
        stores = _stores(os.path.join(output, ".state"))
        inside = [os.path.join(output, name) for name in (*_INSIDE, *stores)]
    return [os.path.realpath(folder) for folder in (*inside, *_BESIDE)]


def _stores(state: str) -> Iterator[str]:
    """Paths below the output of all stores that have receipts."""
    for folder, below, _ in os.walk(state):
        for name in [name for name in below if name.endswith(_STORES[0])]:
            below.remove(name)
            yield os.path.relpath(os.path.join(folder, name), state)


class Positions(NamedTuple):
    """The files of a pattern.

    Attributes
    ----------
    files
        Position of each file along every axis: the number at its placeholder.
    words
        If {c} stands for words: these, in natural order; positions along c are their indices.
    others
        Files that would match if words could have "_" or ".".
    """

    files: dict[str, dict[str, int]]
    words: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def positions(pattern: str) -> Positions:
    """Find the files of a pattern with axes.

    Placeholders stand for numbers. {c} stands for words if a file has one there that is no number;
    words have no "_", "." or "/". Next to another placeholder, it always stands for numbers.
    """
    names = sorted(glob.glob("*".join(map(glob.escape, re.split(PLACE, pattern)[::2]))))
    numbered = _matches(pattern, names, r"\d+")
    worded = numbered
    if "{c}" in pattern and not _NEIGHBOURS.search(pattern):
        worded = _matches(pattern, names, _WORD)
    if len(worded) <= len(numbered):
        found = {file: {a: int(text) for a, text in at.items()} for file, at in numbered.items()}
        return Positions(found, others=() if found or worded is numbered else tuple(names))
    words = sorted({at["c"] for at in worded.values()}, key=lambda word: (natural(word), word))
    index = {word: number for number, word in enumerate(words)}
    found = {
        file: {axis: index[text] if axis == "c" else int(text) for axis, text in at.items()}
        for file, at in worded.items()
    }
    return Positions(found, tuple(words), tuple(name for name in names if name not in worded))


def _matches(pattern: str, names: list[str], channel: str) -> dict[str, dict[str, str]]:
    """The text at each placeholder in the names that match; {c} stands for ``channel``."""
    pieces = re.split(PLACE, pattern)
    expression = re.escape(pieces[0])
    for number in range(1, len(pieces), 2):
        axis, text = pieces[number : number + 2]
        stands_for = channel if axis == "c" else r"\d+"
        repeated = axis in pieces[1:number:2]
        expression += f"(?P={axis})" if repeated else f"(?P<{axis}>{stands_for})"
        expression += re.escape(text)
    matches = {name: re.fullmatch(expression, name) for name in names}
    return {name: match.groupdict() for name, match in matches.items() if match}


def contents(folder: str, endings: Sequence[str]) -> str:
    """Describe the files in a directory that is not itself an image, and how to convert them.

    Parameters
    ----------
    folder
        The directory.
    endings
        Endings of file names of all formats, in lower case.

    Returns
    -------
    str
        The end of an error message. At most `_COUNTED` files are counted. If the content of one is
        elsewhere, how to get it, since that may be why the directory is no image.
    """
    longest = sorted(endings, key=len, reverse=True)
    top, below, elsewhere = Counter[str](), Counter[str](), ""
    for parent, name in islice(_entries(folder), _COUNTED):
        ending = next((end for end in longest if name.lower().endswith(end)), "")
        (top if parent == folder else below)[name[len(name) - len(ending) :]] += 1
        place = os.path.join(parent, name)
        elsewhere = elsewhere or ((why := content_elsewhere(place)) and f"{place}: {why}")
    if elsewhere:
        return elsewhere
    total = top + below
    others = total.pop("", 0)
    if not total:
        return f"files in it: {others}, none of a supported format"
    ending = total.most_common(1)[0][0]
    files = f"**/*{ending}" if below[ending] else f"*{ending}"
    counts = [f"{count} {end}" for end, count in total.most_common()]
    rest = f" and {others} of other kinds" if others else ""
    tree = " (with output_tree=true, stores have the same directories)" if below[ending] else ""
    return (
        f"files in it: {', '.join(counts)}{rest}; to convert each {ending}, give a glob such as "
        f"source='{os.path.join(glob.escape(folder), files)}'{tree}, or a line in a sample sheet"
    )


def _entries(folder: str) -> Iterator[tuple[str, str]]:
    """Directory and name of each file, and each store, in a directory; without hidden ones."""
    for parent, folders, files in os.walk(folder):
        stores = [name for name in folders if name.lower().endswith(_STORES)]
        folders[:] = sorted({name for name in folders if name[0] != "."} - {*stores})
        for name in [*files, *stores]:
            if name[0] != ".":
                yield parent, name


def natural(path: str) -> list[tuple[str, int]]:
    """A sort key for natural order: a2 before a10."""
    return [(text, int(part or 0)) for text, part in re.findall(r"(\D*)(\d*)", path)]
