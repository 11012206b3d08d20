"""The packages of optional libraries, and the command that installs them."""

from __future__ import annotations

import re
import shlex
from importlib import metadata


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
