"""Read the rows of a sample sheet."""

from __future__ import annotations

import codecs
import copy
import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

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
    columns, lines = _table(path)
    check_columns(path, columns, schema)
    if not lines:
        raise ConfigError(f"{path}: the sheet has no samples")
    # Most rows of a large sheet have the same options, which are then parsed and checked once.
    known: dict[tuple[tuple[str, str], ...], Document] = {}
    for number, line in lines:
        where = f"{path}, line {number}"
        if len(line) > len(columns):
            raise ConfigError(f"{where}: more cells than columns ({len(columns)})")
        row = {name: cell for name, cell in zip(columns, line, strict=False) if cell}
        if "" in row:
            raise ConfigError(f"{where}: the column of the cell {row['']!r} has no name")
        if "source" not in row:
            check_line(where, line)
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


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns of a sheet, and the cells of each line that has any, with its number.

    Spreadsheets leave spaces around cells, and columns and lines without content; some save
    tab-separated text only as UTF-16 if it has letters such as ü.
    """
    try:
        check_kind(path)
    except SourceError as error:
        raise ConfigError(f"config: samples {error}") from None
    try:
        with path.open("rb") as file:
            has_utf_16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(newline="", encoding="utf-16" if has_utf_16 else "utf-8-sig") as text:
            reader = csv.reader(text, delimiter="\t")
            read = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ConfigError(f"config: samples {path} cannot be read: {error}") from None
    except OSError as error:
        raise ConfigError(f"config: samples {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"config: samples {path} is not UTF-8 text ({error.reason}): save it as UTF-8 or, in "
            "Excel, as Unicode Text"
        ) from None
    lines = [(number, _without_end(cells)) for number, cells in read if any(cells)]
    return (lines[0][1], lines[1:]) if lines else ([], [])


def _without_end(cells: list[str]) -> list[str]:
    """Cells without the empty ones after the last that is not."""
    return cells[: max((place for place, cell in enumerate(cells, 1) if cell), default=0)]


def _with_cells(options: Document, cells: Iterable[tuple[str, str]], schema: Schema) -> Document:
    """Return options in which those that a row names are replaced."""
    changed = copy.deepcopy(options)
    for name, cell in cells:
        group, option = name.split(".")
        changed[group][option] = schema.parse(name, cell)
    schema.check(changed)
    return changed
