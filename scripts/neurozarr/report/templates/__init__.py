"""Templates of the pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

_FOLDER = Path(__file__).parent


@cache
def environment() -> jinja2.Environment:
    """The templates, in which all that is inserted is escaped, with the filters that they use."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["mb"] = _megabytes
    found.filters["value"] = _value
    found.filters["seconds"] = lambda time: f"{time:.2f}" if time < 100 else f"{time:,.0f}"
    return found


def text_of(name: str) -> Markup:
    """A file beside the templates, which is inserted as it is."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))


def _value(number: float) -> str:
    """A value of voxels, with all digits if it is an integer."""
    return str(number) if isinstance(number, int) else f"{number:.6g}"


def _megabytes(size: int) -> str:
    """A size in MB, with as many decimals as tell something."""
    decimals = 0 if size >= 1e8 else 1 if size >= 1e6 else 3
    return f"{size / 1e6:,.{decimals}f}"
