"""The version of this package, from the tags of its git clone or its installed metadata."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

#: Version without a tag or installed metadata.
FALLBACK = "0.1.0"

_DESCRIBED = re.compile(r"v?(?P<tag>\d[\w.]*)-(?P<commits>\d+)-g(?P<commit>[0-9a-f]+)")


def version(clone: Path = Path(__file__).parents[2]) -> str:
    """The version of this package, in the form of PEP 440.

    Parameters
    ----------
    clone
        Top directory of a clone of this repository, or of a source distribution, if it is one.

    Returns
    -------
    str
        The last tag, such as 1.2.0, or 1.2.0.post3+g1a2b3c4 if 3 commits follow it. Without a
        tag, FALLBACK+g1a2b3c4. Without a clone, the version of the source distribution that it is,
        or else of the installed package, or FALLBACK.
    """
    described = _describe(clone) if (clone / ".git").exists() else ""
    if found := _DESCRIBED.fullmatch(described):
        tag, commits, commit = found.groups()
        return tag if commits == "0" else f"{tag}.post{commits}+g{commit}"
    if described:
        return f"{FALLBACK}+g{described}"
    if (clone / "PKG-INFO").exists():
        return metadata.Distribution.at(clone).version
    try:
        return metadata.version("neurozarr")
    except metadata.PackageNotFoundError:
        return FALLBACK


def _describe(clone: Path) -> str:
    """Output of ``git describe`` for the current commit; "" if git fails."""
    # Git refuses a clone of another user unless it is declared safe; describing it is.
    options = ["-c", f"safe.directory={clone}", "-C", str(clone)]
    command = ["git", *options, "describe", "--tags", "--long", "--always", "--match=v[0-9]*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


#: The version of this package.
VERSION = version()
