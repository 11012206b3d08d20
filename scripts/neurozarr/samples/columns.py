"""Columns of the sample sheet, and the options named like them of a run without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from neurozarr.errors import ConfigError
from neurozarr.samples.sample_source import SIZES
from neurozarr.samples.schema import Schema, suggest
from neurozarr.zarr.documents import Document

#: Columns for `neurozarr.sources.Layout`, and functions that parse their cells.
LAYOUT: dict[str, Callable[[str], Any]] = {
    "axes": str,
    "dataset": str,
    "shape": lambda cell: tuple(map(int, cell.split(","))),
    "dtype": str,
    "order": str,
    "offset": int,
    "overlap": lambda cell: tuple(map(int, cell.split(","))),
    "pad": str,
    "missing": str,
}
#: Columns that describe a source. A run without a sheet has options of these names.
PROPERTIES = (*LAYOUT, *SIZES, "in_place")
#: Columns that are not options of a group.
COLUMNS = ("sample", "source", "label_of", *PROPERTIES)
#: Options that must be the same for all samples of a run.
RUN_OPTIONS = ("zarr.zarr_version", "nifti.nii", "resources.bundle", "resources.check_space")

#: The largest number of items in the list that an option may have instead of a cell.
_ITEMS = 5
#: Separators of other kinds of tables, and what they are called.
_SEPARATORS = {",": "commas", ";": "semicolons", r"\s+": "spaces"}


def as_cells(config: Document) -> Document:
    """Write the options that are named like columns as in a cell: numbers and lists as text."""
    cells = {name: _cell(v) if name in PROPERTIES else v for name, v in config.items()}
    if isinstance(cells.get("in_place"), bool):
        cells["in_place"] = str(cells["in_place"]).lower()
    return cells


def _cell(value: Any) -> Any:
    """Text of a number, or of a list of numbers or texts; other values as they are."""
    if isinstance(value, Real) and value is not True and value is not False:
        return str(value)
    if isinstance(value, (list, tuple)) and 0 < len(value) <= _ITEMS:
        items = [_cell(item) for item in value if not isinstance(item, (list, tuple))]
        texts = [item for item in items if isinstance(item, str)]
        return ",".join(texts) if len(texts) == len(value) else value
    return value


def given(options: Document) -> dict[str, str]:
    """Cells that a run without a sheet gives for all of its sources.

    Raises
    ------
    ConfigError
        There is a sheet, which has columns for them.
    """
    cells = {name: options[name] for name in PROPERTIES if options[name] is not None}
    if cells and options["samples"]:
        name = next(iter(cells))
        raise ConfigError(
            f"{name} and samples are both given; give {name} in a column of the sheet "
            f"{options['samples']}"
        )
    return cells


def check_columns(path: Path, columns: list[str], schema: Schema) -> None:
    """Raise a ConfigError if a sheet has wrong columns.

    Parameters
    ----------
    path
        The sheet.
    columns
        The cells of its first line.
    schema
        Schema of the configuration, whose options may be columns.
    """
    if len(columns) == 1 and (found := _separator(columns[0], ["sample", "source"])):
        separator, names = found
        raise ConfigError(
            f"{path}: its columns are separated by {separator}, not by tabs; save it as "
            f"tab-separated text, whose first line is {'<tab>'.join(names)}"
        )
    allowed = [name for name in schema.options() if "." in name and name not in RUN_OPTIONS]
    for name in columns:
        if name in RUN_OPTIONS:
            raise ConfigError(
                f"{path}: {name!r} must be the same for all samples; set it in config"
            )
        if name not in (*COLUMNS, *allowed):
            raise ConfigError(
                f"{path}: unknown column {name!r}{suggest(name, allowed + list(COLUMNS))}"
            )
    for name in ("sample", "source"):
        if name not in columns:
            raise ConfigError(f"{path}: column {name!r} is missing (columns are separated by tabs)")
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ConfigError(f"{path}: there are two columns {twice!r}")


def check_line(where: str, cells: list[str | None]) -> None:
    """Raise a ConfigError if the cells of a line of a sheet are not separated by tabs.

    Parameters
    ----------
    where
        The sheet and the number of the line.
    cells
        The cells of the line; None for those that it does not have.
    """
    first, *others = cells
    if first and "\t" not in first and not any(others) and (found := _separator(first.strip(), [])):
        raise ConfigError(
            f"{where}: its cells are separated by {found[0]}, not by tabs; write "
            f"{'<tab>'.join(found[1])}"
        )


def _separator(line: str, wanted: list[str]) -> tuple[str, list[str]] | None:
    """What separates the cells of a line without tabs, and the cells, some of which are wanted."""
    for expression, name in _SEPARATORS.items():
        cells = [cell.strip().strip('"') for cell in re.split(expression, line)]
        if len(cells) > 1 and set(wanted) <= set(cells):
            return name, cells
    return None
