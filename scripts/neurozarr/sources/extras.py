"""Optional libraries, and the commands that install them."""

from __future__ import annotations

import importlib
import re
import shlex
from importlib import metadata
from typing import Any

from neurozarr.errors import SourceError


def library(name: str, extra: str, path: str) -> Any:
    """Import an optional library.

    Parameters
    ----------
    name
        Name of its module.
    extra
        The extra of neurozarr that installs it.
    path
        The source that needs it.

    Returns
    -------
    Any
        The module.

    Raises
    ------
    SourceError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{path}: the package {error.name} is needed: {install_command(extra)}"
        ) from None


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra into this environment.

    neurozarr is not in a package index: the command names the packages themselves.

    Parameters
    ----------
    extra
        Name of the extra, such as "tiff".

    Returns
    -------
    str
        Such as ``pip install 'imagecodecs>=2024.1' 'tifffile>=2024.1'``. If neurozarr is used from
        a clone without being installed, the command that installs the clone.
    """
    try:
        required = metadata.requires("neurozarr") or []
    except metadata.PackageNotFoundError:
        required = []
    parts = (requirement.partition(";") for requirement in required)
    ours = re.compile(rf"""\bextra == ["']{extra}["']""")
    packages = [package.strip() for package, _, marker in parts if ours.search(marker)]
    if not packages:
        return f"in the clone of neurozarr, pip install '.[{extra}]'"
    return f"pip install {shlex.join(packages)}"
