"""Checks of the places of stores in the output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from neurozarr.errors import ConfigError
from neurozarr.samples.sample import Sample

#: Directories of the output that have what a run writes beside the stores.
_RESERVED = ("nifti", "verify")
#: The longest suffix of a file named after a sample.
_LONGEST_SUFFIX = "_level-10.nii.gz.tmp"
#: Length of the longest path within a store.
_LONGEST_PATH = 128


def check_folder(path: str, folder: str) -> None:
    """Raise a ConfigError if stores in a directory would lie among other files of runs.

    Parameters
    ----------
    path
        The source.
    folder
        Directory of its store below the output, or "".
    """
    first = folder.split("/")[0]
    if first in _RESERVED:
        raise ConfigError(
            f"config: source {path}: its store would be in {first} of the output, where runs write "
            "other files: rename its directory"
        )


def check_apart(samples: Mapping[str, Sample]) -> None:
    """Raise a ConfigError if a store would be in a directory that is another store.

    Parameters
    ----------
    samples
        All samples of a run, by their names.
    """
    for sample in samples.values():
        folders = (sample.image or sample.name).split("/")[:-1]
        for end, folder in enumerate(folders, 1):
            stem, _, kind = folder.rpartition(".")[0].rpartition(".")
            above = "/".join([*folders[: end - 1], stem])
            if folder.endswith(".zarr") and kind and above in samples:
                raise ConfigError(
                    f"config: the store of {sample.path} would be within that of "
                    f"{samples[above].path}: rename the directory {folder}"
                )


def check_case(output: Path, samples: Iterable[str]) -> None:
    """Check that samples whose names differ only in case have stores of their own.

    File systems such as exFAT, and usually those of macOS and Windows, do not tell them apart.

    Parameters
    ----------
    output
        Output directory. If there are such samples, the directory of receipts in it is created.
    samples
        Names of all samples of a run.

    Raises
    ------
    ConfigError
        The file system does not tell two names apart.
    OSError
        The directory cannot be created.
    """
    known: dict[str, str] = {}
    for name in samples:
        other = known.setdefault(name.casefold(), name)
        if other != name and _ignores_case(output):
            raise ConfigError(
                f"config: samples {other} and {name}: the file system of the output does not tell "
                "apart upper and lower case, and they would have the same store; give them other "
                "names in a sample sheet, or choose another output"
            )


def _ignores_case(output: Path) -> bool:
    """Whether the file system of the output takes upper and lower case to be the same."""
    state = output / ".state"
    state.mkdir(parents=True, exist_ok=True)
    other = state.name.upper()
    return (output / other).exists() and other not in os.listdir(output)


def check_output(output: str, samples: Iterable[str]) -> None:
    """Raise a ConfigError if there cannot be output files, or if their names are too long.

    Parameters
    ----------
    output
        Output directory.
    samples
        Names of all samples of a run.
    """
    real, there = os.path.realpath(output), os.path.abspath(output)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        is_link = os.path.islink(there) and not os.path.exists(there)
        what = (
            f"a link to {os.readlink(there)}, which does not exist" if is_link else "no directory"
        )
        raise ConfigError(
            f"config: output is {output!r}, but {there} is {what}; choose another output"
        )
    longest = max(samples, key=len, default="")
    names = real.split("/")
    names += (part + _LONGEST_SUFFIX for sample in samples for part in sample.split("/"))
    for what, size, limit in (
        ("name", max(len(os.fsencode(name)) for name in names), "PC_NAME_MAX"),
        ("path", len(os.fsencode(real)) + len(longest) + _LONGEST_PATH, "PC_PATH_MAX"),
    ):
        allowed = os.pathconf(there, limit)
        if size > allowed:
            raise ConfigError(
                f"config: output: a file {what} of sample {longest} has {size} bytes, but the file "
                f"system of {there} allows {allowed}; choose shorter names"
            )
