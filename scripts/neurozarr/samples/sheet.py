"""Read and check a configuration and a sample sheet."""

from __future__ import annotations

import copy
import csv
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from neurozarr.errors import ConfigError, SourceError
from neurozarr.files import check_kind, content_elsewhere
from neurozarr.run.paths import StorePaths
from neurozarr.samples.columns import (
    COLUMNS,
    LAYOUT,
    PROPERTIES,
    as_cells,
    check_columns,
    check_line,
    given,
)
from neurozarr.samples.found import Found, filters_of, sources_of
from neurozarr.samples.made import of_dicom, vars_of
from neurozarr.samples.names import file_name, names_of
from neurozarr.samples.places import check_apart, check_folder, check_lengths
from neurozarr.samples.sample import SIZES, Sample
from neurozarr.samples.schema import CONFIG_SCHEMA, SHEET_SCHEMA, Schema, suggest
from neurozarr.samples.settings import RunSettings
from neurozarr.sources import family_of
from neurozarr.sources.base import Layout
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.paths import (
    expand,
    find,
    is_address,
    is_glob,
    is_within,
    normal,
    parts,
)
from neurozarr.zarr.documents import LABELS, Document

logger = logging.getLogger(__name__)

#: Configuration file that Snakemake reads if it is in the working directory.
FOUND_CONFIG = Path("config/config.yaml")
_OF_ANOTHER_PROJECT = (
    " (this file is read because it is in the working directory: if it belongs to another project, "
    "run in another directory)"
)
#: Columns that say what is chosen in a source, and not what it is.
_CHOOSE = ("dataset", "in_place")


def read_run(
    config: Document, *, absent: list[str] | None = None, files: Sequence[str | Path] = ()
) -> tuple[RunSettings, dict[str, Sample]]:
    """Read and check a configuration and its sample sheet, if it has one.

    Parameters
    ----------
    config
        The user's options; the others get their defaults.
    absent
        A list if sources need not exist, because others may make them later: it is extended by the
        reasons why samples are not known yet, which are a sheet or a file of several images that
        does not exist, and a glob that matches nothing. None if all sources must exist.
    files
        Configuration files from which options were read; errors name that of an unknown option.

    Returns
    -------
    RunSettings, dict[str, Sample]
        The settings of the run, and the samples by name, in the order of the sheet or the files.
        No samples if the configuration has neither a sheet nor a source.

    Raises
    ------
    ConfigError
        An option or the sheet is not valid, or, without `absent`, a source does not exist. Sources
        are not opened.
    """
    schema, rows = Schema(CONFIG_SCHEMA), Schema(SHEET_SCHEMA)
    _check_known(config, schema, files)
    try:
        options = _expanded(schema.with_defaults(as_cells(config)))
        cells = given(options)
    except ConfigError as error:
        raise ConfigError(f"config: {error}") from None
    if options["samples"]:
        _check_sheet_alone(options)
    found: list[Found] = []
    if options["samples"]:
        read = list(_read_sheet(Path(options["samples"]), options, schema, rows, absent))
    elif options["source"]:
        found = list(sources_of(options, absent))
        read = list(_read_sources(found, options, cells, rows, absent))
    else:
        read = []
    samples: dict[str, Sample] = {}
    for where, sample in read:
        if sample.name in samples:
            raise ConfigError(
                f"{where}: two samples are named {sample.name!r}: {samples[sample.name].path} "
                f"and {sample.path}; {_how_to_tell_apart(options)}"
            )
        try:
            _ = sample.zarr
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        if absent is None:
            _check_source(where, sample.path)
        samples[sample.name] = sample
    for where, sample in read:
        if sample.image is not None:
            samples[sample.name] = _as_label(where, sample, samples)
    check_apart(samples)
    check_lengths(options["output"], samples)
    datasets: dict[str, list[str]] = {}
    for folder, root in dict.fromkeys((one.bids_folder, one.bids) for one in found if one.bids):
        datasets.setdefault(f"{folder}/" if folder else "", []).append(root)
    settings = replace(
        _settings(options),
        in_place={n: one.place for n, one in samples.items() if one.place is not None},
        datasets=datasets,
        in_labels=tuple(n for n, one in samples.items() if f"/{LABELS}/" in n and not one.label),
    )
    return settings, samples


def output_of(config: Document) -> str:
    """Return the output directory of a configuration.

    Raises
    ------
    ConfigError
        An option is not valid.
    """
    try:
        return _expanded(Schema(CONFIG_SCHEMA).with_defaults(as_cells(config)))["output"]
    except ConfigError as error:
        raise ConfigError(f"config: {error}") from None


def _check_sheet_alone(options: Document) -> None:
    """Raise a ConfigError if an option of runs without a sheet is given."""
    if options["source"]:
        raise ConfigError("config: samples and source are both given; give one of them")
    told = [f"bids.{name}" for name in filters_of(options)]
    told += ["output_tree"] if options["output_tree"] else []
    if told:
        raise ConfigError(
            f"config: {told[0]} and samples are both given; {told[0]} is only for source"
        )


def _how_to_tell_apart(options: Document) -> str:
    """What to do if two samples have the same name."""
    tree = options["source"] and not options["output_tree"]
    also = ", or, if a glob matches both, keep their directories by output_tree: true"
    return f"give them different names in a sample sheet{also if tree else ''}"


def _check_known(config: Document, schema: Schema, files: Sequence[str | Path]) -> None:
    """Raise a ConfigError if there are unknown options, with their file, or too many values."""
    try:
        unknown = schema.unknown(config)
    except ConfigError as error:
        raise ConfigError(f"config: {error}") from None
    if not unknown:
        return
    for file in files:
        inside = schema.unknown(yaml.safe_load(Path(file).read_text()) or {})
        if unknown[0] in inside:
            why = _OF_ANOTHER_PROJECT if Path(file) == FOUND_CONFIG else ""
            where = os.path.relpath(file) if is_within(os.path.abspath(file), os.getcwd()) else file
            raise ConfigError(f"{where}: {schema.explain_unknown(inside, config)}{why}")
    raise ConfigError(f"config: {schema.explain_unknown(unknown, config)}")


def _settings(options: Document) -> RunSettings:
    return RunSettings(
        output=options["output"],
        zarr_version=options["zarr"]["zarr_version"],
        nii=options["nifti"]["nii"],
        verify=options["verify"],
        overwrite=options["overwrite"],
        bundle=options["resources"]["bundle"],
        check_space=options["resources"]["check_space"],
    )


def _as_label(where: str, label: Sample, samples: Mapping[str, Sample]) -> Sample:
    """A label that knows its image, and has its version of OME-Zarr, as the list of all labels.

    Raises
    ------
    ConfigError
        There is no such image.
    """
    image = samples.get(label.image or "")
    if image is None:
        raise ConfigError(
            f"{where}: label_of is {label.image!r}{suggest(label.image or '', list(samples))}"
        )
    if label.name.endswith(".json"):
        raise ConfigError(f"{where}: sample is a label, whose name must not end in .json")
    version = image.options["ome"]["ome_version"]
    ome = label.options["ome"] | {"ome_version": version}
    return replace(label, options=label.options | {"ome": ome}, label_of=vars_of(image))


def _check_source(where: str, path: str) -> None:
    """Raise a ConfigError if there is no such source, or its first file cannot be read."""
    found = find(path)
    if not found and (away := content_elsewhere(path)):
        raise ConfigError(f"{where}: source {path} {away}")
    if not found:
        raise ConfigError(f"{where}: source {path} does not exist")
    if not (is_address(path) or os.access(found[0], os.R_OK)):
        raise ConfigError(f"{where}: source {found[0]} cannot be read: permission denied")


def _expanded(options: Document) -> Document:
    """Return options with `~`, variables and links in their paths resolved."""
    expanded = copy.deepcopy(options)
    expanded["output"] = normal(_expand("output", options["output"]))
    if {"{", "}"} & set(expanded["output"]):
        raise ConfigError(
            f"output is {expanded['output']!r}; curly brackets in it are not supported"
        )
    if sheet := options["samples"]:
        expanded["samples"] = _expand("samples", sheet)
    if isinstance(options["source"], str):
        expanded["source"] = _expand("source", options["source"])
    elif options["source"]:
        expanded["source"] = [_expand("source", path) for path in options["source"]]
    if header := options["nifti"]["header"]:
        expanded["nifti"]["header"] = _expand("nifti.header", header)
    return expanded


def _expand(option: str, path: str) -> str:
    try:
        return expand(path, addresses=option == "source")
    except ConfigError as error:
        raise ConfigError(f"{option} {error}") from None


def _read_sources(
    found: Iterable[Found],
    options: Document,
    cells: dict[str, str],
    rows: Schema,
    absent: list[str] | None,
) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of sources without a sheet, described by ``cells``."""
    for path, folder, root, _ in found:
        row = {"sample": file_name(path), "source": path, **cells}
        try:
            rows.check(row)
        except ConfigError as error:
            raise ConfigError(
                f"config: source {path}: {error}; give it another name in a sample sheet"
            ) from None
        check_folder(path, folder)
        row["sample"] = "/".join(filter(None, [folder, row["sample"]]))
        for image in _each_image("config", row, options, absent):
            for where, sample in _with_labels("config", image, options, rows):
                yield where, replace(sample, bids=None if sample.label else root)


def _read_sheet(
    path: Path, options: Document, schema: Schema, rows: Schema, absent: list[str] | None
) -> Iterator[tuple[str, Sample]]:
    """Yield one sample for each row of a sheet."""
    if absent is not None and not os.path.lexists(path):
        absent.append(f"config: samples {path}: there is no such file")
        return
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
    check_columns(path, list(columns), schema)
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
                name: _expand(name, row[name]) for name in ("source", "nifti.header") if name in row
            }
            if "label_of" in row:
                row["sample"] = f"{row['label_of']}/{LABELS}/{row['sample']}"
                row.setdefault("pyramid.mode", "auto")  # Other modes are meant for images.
            cells = tuple((name, row[name]) for name in row if name not in COLUMNS)
            if cells not in known:
                known[cells] = _with_cells(options, cells, schema)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        for image in _each_image(where, row, known[cells], absent):
            yield from _with_labels(where, image, known[cells], rows)


def _each_image(
    where: str, row: dict[str, str], options: Document, absent: list[str] | None
) -> Iterator[dict[str, str]]:
    """Replace a row whose dataset is "*" by one for each image of its source."""
    if row.get("dataset") != "*":
        yield row
        return
    if absent is not None and not find(row["source"]):
        absent.append(
            f"{where}: source {row['source']} does not exist, so that its images (dataset is *) "
            "are not known: make it, then run again"
        )
        return
    path, family = row["source"], family_of(row["source"])
    try:
        if family is None:
            raise SourceError(f"{path}: not a supported format")
        found = family.images(path, Layout(**_layout(row, options) | {"dataset": None}))
    except SourceError as error:
        raise ConfigError(f"{where}: {error}") from None
    for name, image in zip(names_of([image.name for image in found]), found, strict=True):
        yield row | {"sample": f"{row['sample']}_{name}", "dataset": image.dataset}


def _with_labels(
    where: str, row: dict[str, str], options: Document, rows: Schema
) -> Iterator[tuple[str, Sample]]:
    """Yield the sample of a row, and those of the labels beneath the image that is its source.

    Labels of which the row would have to say more, because it does so of the image, are left out.
    """
    try:
        sample = _sample(row, options)
    except (ConfigError, SourceError) as error:
        raise ConfigError(f"{where}: {error}") from None
    yield where, sample
    family = family_of(row["source"])
    if family is None or "label_of" in row or sample.refused:
        return
    try:
        found = family.labels_of(row["source"], Layout(**_layout(row, options)))
    except SourceError as error:
        if find(row["source"]):  # Otherwise, that there is no source is said anyway.
            logger.warning("%s: the labels of its source cannot be listed: %s", where, error)
        return
    said = [name for name in ("axes", *SIZES) if name in row]
    if found and said:
        logger.warning(
            "%s: its source also has the labels %s, which are left out, because %s describes only "
            "the image: give each of them a line, with dataset and label_of",
            where,
            ", ".join(label.name for label in found),
            said[0],
        )
        return
    ome = options["ome"] | {"name": None, "channel_names": None, "channel_colors": None}
    own = {"ome": ome, "pyramid": options["pyramid"] | {"mode": "auto"}}
    for name, label in zip(names_of([label.name for label in found]), found, strict=True):
        cells = {"source": row["source"], "dataset": label.dataset}
        if sample.existing is not None:  # They are images in the same store.
            cells |= {"sample": f"{row['sample']}_{LABELS}_{name}", "in_place": "true"}
            yield where, replace(_sample(cells, options | own), label_of=vars_of(sample))
            continue
        try:
            rows.check(cells | {"sample": name})
        except ConfigError as error:
            logger.warning("%s: the label %s is left out: %s", where, label.dataset, error)
            continue
        beneath = {"sample": f"{row['sample']}/{LABELS}/{name}", "label_of": row["sample"]}
        yield where, _sample(cells | beneath, options | own)


def _with_cells(options: Document, cells: Iterable[tuple[str, str]], schema: Schema) -> Document:
    """Return options in which those that a row names are replaced."""
    changed = copy.deepcopy(options)
    for name, cell in cells:
        group, option = name.split(".")
        changed[group][option] = schema.parse(name, cell)
    schema.check(changed)
    return changed


def _layout(row: dict[str, str], options: Document) -> dict[str, Any]:
    """Fields of `neurozarr.sources.Layout` for a sample."""
    layout = {name: read(row[name]) for name, read in LAYOUT.items() if name in row}
    if any(map(is_glob, parts(row["source"]))):
        layout["output"] = options["output"]
    elif not is_address(row["source"]) and family_of(row["source"]) is DicomSource:
        layout |= of_dicom(options["dicom"], _paths(row, options))
    return layout


def _paths(row: dict[str, str], options: Document) -> StorePaths:
    """Paths of the sample of a row."""
    run = replace(_settings(options), in_labels=() if _label(row) else (row["sample"],))
    return run.paths(row["sample"])


def _label(row: dict[str, str]) -> str:
    """Path of the label of a row below the store of its image; "" if it is an image."""
    return row["sample"].removeprefix(row["label_of"]) if "label_of" in row else ""


def _is_in_place(row: Mapping[str, str]) -> bool:
    """Whether levels are added to the source of a row.

    Raises
    ------
    ConfigError
        The row says something of the source that its owner's metadata say.
    """
    if row.get("in_place", "false").lower() == "false":
        return False
    said = [name for name in ("label_of", *PROPERTIES) if name in row and name not in _CHOOSE]
    if said:
        raise ConfigError(
            f"{said[0]} and in_place are both given, but in_place does not change what the "
            f"metadata of {row['source']} say: leave out one of them"
        )
    return True


def _sample(row: dict[str, str], options: Document) -> Sample:
    is_in_place = _is_in_place(row)
    sizes = [float(size) for size in row["voxel_size"].split(",")] if "voxel_size" in row else None
    sample = Sample(
        name=row["sample"],
        label=_label(row),
        path=row["source"],
        layout=_layout(row, options),
        voxel_size=tuple(sizes * 3 if len(sizes) == 1 else sizes) if sizes else None,
        unit=row.get("unit"),
        time_step=float(row["time_step"]) if "time_step" in row else None,
        time_unit=row.get("time_unit"),
        options={
            group: options[group]
            for group in ("zarr", "pyramid", "ome", "dicom", "resources", "nifti", "export")
        },
    )
    return sample.with_existing(_paths(row, options)) if is_in_place else sample
