"""Read the rows of a sample sheet."""

from __future__ import annotations

import copy
import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from neurozarr.errors import ConfigError, SourceError
from neurozarr.files import check_kind
from neurozarr.samples.columns import COLUMNS, check_columns, check_line
from neurozarr.samples.options import expand_path
from neurozarr.samples.schema import Schema
from neurozarr.zarr.documents import LABELS, Document


class Row(NamedTuple):
    """A row of a sheet.

    Attributes
    ----------
    where
        The sheet and the number of the line.
    cells
        The cells of the columns that are not options of a group, by name; without empty ones. The
        name of a label begins with that of its image.
    options
        All options of the row: the cells of the other columns replace those of the run.
    """

    where: str
    cells: dict[str, str]
    options: Document


def read_rows(path: Path, options: Document, schema: Schema, rows: Schema) -> Iterator[Row]:
    """Yield the rows of a sheet.

    Parameters
    ----------
    path
        The sheet.
    options
        All options of the run.
    schema, rows
        Schemas of the configuration and of a row.

    Raises
    ------
    ConfigError
        The sheet cannot be read, or a column or a cell is wrong.
    """
    columns, lines = _lines(path)
    check_columns(path, columns, schema)
    if not lines:
        raise ConfigError(f"{path}: the sheet has no samples")
    # Most rows of a large sheet have the same options, which are then parsed and checked once.
    known: dict[tuple[tuple[str, str], ...], Document] = {}
    for number, line in lines:
        where = f"{path}, line {number}"
        if None in line:
            raise ConfigError(f"{where}: more cells than columns ({len(columns)})")
        row = {name: cell.strip() for name, cell in line.items() if cell and cell.strip()}
        if "source" not in row:
            check_line(where, list(line.values()))
        try:
            rows.check({name: row[name] for name in row if name in COLUMNS})
            row |= {
                name: expand_path(name, row[name])
                for name in ("source", "nifti.header")
                if name in row
            }
            if "label_of" in row:
                row["sample"] = f"{row['label_of']}/{LABELS}/{row['sample']}"
                row.setdefault("pyramid.mode", "auto")  # Other modes are meant for images.
            cells = tuple((name, row[name]) for name in row if name not in COLUMNS)
            if cells not in known:
                known[cells] = _with_cells(options, cells, schema)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        yield Row(where, {name: row[name] for name in row if name in COLUMNS}, known[cells])


def _lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str | Any, str | Any]]]]:
    """Names of the columns, and the cells of each line with its number."""
    try:
        check_kind(path)
    except SourceError as error:
        raise ConfigError(f"config: samples {error}") from None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t")
            columns = reader.fieldnames or []
            lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ConfigError(f"config: samples {path} cannot be read: {error}") from None
    except OSError as error:
        raise ConfigError(f"config: samples {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config: samples {path} is not UTF-8 text ({error.reason})") from None
    return list(columns), lines


def _with_cells(options: Document, cells: Iterable[tuple[str, str]], schema: Schema) -> Document:
    """Return options in which those that a row names are replaced."""
    changed = copy.deepcopy(options)
    for name, cell in cells:
        group, option = name.split(".")
        changed[group][option] = schema.parse(name, cell)
    schema.check(changed)
    return changed
