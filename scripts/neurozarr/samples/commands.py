"""The command that converts one sample of a run, and the options that it needs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from neurozarr.samples.columns import LAYOUT, RUN_OPTIONS
from neurozarr.samples.names import file_name
from neurozarr.samples.sample import Sample
from neurozarr.samples.sample_source import SIZES
from neurozarr.samples.schema import CONFIG_SCHEMA, Schema
from neurozarr.samples.settings import RunSettings
from neurozarr.sources.paths import is_glob
from neurozarr.zarr.documents import LABELS

#: Groups of options that do not change the store.
_NOT_OF_STORES = ("export",)


def given_options(sample: Sample) -> dict[str, str]:
    """Options that differ from their defaults, and what the user said of the source.

    Parameters
    ----------
    sample
        The sample.

    Returns
    -------
    dict
        Values, as in a cell of a sample sheet, by their names.
    """
    defaults = Schema(CONFIG_SCHEMA).with_defaults({})
    groups = sample.options | {"dicom": sample.layout.get("dicom") or {}}
    options = {
        f"{group}.{name}": value
        for group, values in groups.items()
        for name, value in values.items()
        if group not in _NOT_OF_STORES
        and name in defaults[group]
        and value != defaults[group][name]
    }
    said = {name: sample.layout.get(name) for name in LAYOUT}
    said |= {name: getattr(sample, name) for name in SIZES}
    cells = {name: _cell(value) for name, value in said.items() if value is not None}
    return cells | {name: _text(value) for name, value in options.items()}


def convert_again(sample: Sample, run: RunSettings, *, directory: str) -> str:
    """The shell command that converts a sample, with the image that it is a label of.

    Of a BIDS data set, it converts all images.

    Parameters
    ----------
    sample
        The sample.
    run
        Settings of the run.
    directory
        Directory in which the run was started, to which paths are relative.
    """
    samples = [sample]
    if sample.label_of is not None:
        image = Sample(**sample.label_of)
        # The labels of a source come with its image.
        samples = [image] if image.path == sample.path else [image, sample]
    options = [given_options(each) for each in samples]
    shared = {name: value for name, value in options[0].items() if name in RUN_OPTIONS}
    words = ["--output", _as_path(run.output)]
    if run.verify != "quick":
        words.append(f"verify={run.verify}")
    words += [f"{name}={value}" for name, value in shared.items()]
    here = f"cd {shlex.quote(directory)}"
    first = samples[0]
    if first.bids is not None:  # Its name is known only from the others of its data set.
        own = [f"{name}={value}" for name, value in options[0].items() if name not in shared]
        return f"{here} && neurozarr run {shlex.join([_as_path(first.bids), *words, *own])}"
    if len(samples) == 1 and first.name == file_name(first.path) and not is_glob(first.path):
        own = [f"{name}={value}" for name, value in options[0].items() if name not in shared]
        return f"{here} && neurozarr run {shlex.join([_as_path(first.path), *words, *own])}"
    columns, rows = _sheet(samples, options)
    cells = shlex.join([*columns, *(cell for row in rows for cell in row)])
    form = "\\t".join(["%s"] * len(columns)) + "\\n"
    return (
        f"{here} && sheet=$(mktemp --suffix .tsv) && printf '{form}' {cells} > \"$sheet\" && "
        f'neurozarr run --samples "$sheet" {shlex.join(words)}'
    )


def _sheet(
    samples: Sequence[Sample], options: Sequence[dict[str, str]]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a sample sheet."""
    named = [
        {"sample": each.name, "source": each.path}
        if each.image is None
        else {
            "sample": each.name.rpartition(f"/{LABELS}/")[2],
            "source": each.path,
            "label_of": each.image,
        }
        for each in samples
    ]
    own = [{k: v for k, v in each.items() if k not in RUN_OPTIONS} for each in options]
    rows = [about | others for about, others in zip(named, own, strict=True)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, [[row.get(name, "") for name in columns] for row in rows]


def _cell(value: Any) -> str:
    """The value of a column: a text, a number or several numbers."""
    return ",".join(map(_text, value)) if isinstance(value, tuple | list) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_path(path: str) -> str:
    """A path that is not taken for an option, or for a number."""
    return f"./{path}" if "=" in path or path.startswith("-") or path.isdigit() else path
