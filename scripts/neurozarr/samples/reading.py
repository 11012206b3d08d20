"""All samples of a run, from its configuration and its sample sheet or sources."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from neurozarr.errors import ConfigError
from neurozarr.files import content_elsewhere
from neurozarr.samples.columns import given
from neurozarr.samples.found import Found, filters_of, sources_of
from neurozarr.samples.made import vars_of
from neurozarr.samples.names import file_name
from neurozarr.samples.options import read_options, settings_of
from neurozarr.samples.places import check_apart, check_folder, check_output
from neurozarr.samples.rows import samples_of
from neurozarr.samples.sample import Sample
from neurozarr.samples.schema import CONFIG_SCHEMA, SHEET_SCHEMA, Schema, suggest
from neurozarr.samples.settings import RunSettings
from neurozarr.samples.sheet import read_rows
from neurozarr.sources.paths import find, is_address
from neurozarr.zarr.documents import LABELS, Document


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
    options = read_options(config, schema, files)
    try:
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
            paths = samples[sample.name].path, sample.path
            raise ConfigError(
                f"{where}: two samples are named {sample.name!r}: {' and '.join(paths)}; "
                f"{_how_to_tell_apart(options, paths)}"
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
    check_output(options["output"], samples)
    datasets: dict[str, list[str]] = {}
    for folder, root in dict.fromkeys((one.bids_folder, one.bids) for one in found if one.bids):
        datasets.setdefault(f"{folder}/" if folder else "", []).append(root)
    settings = replace(
        settings_of(options),
        in_place={n: one.place for n, one in samples.items() if one.place is not None},
        datasets=datasets,
        in_labels=tuple(n for n, one in samples.items() if f"/{LABELS}/" in n and not one.label),
    )
    return settings, samples


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


def _how_to_tell_apart(options: Document, paths: Iterable[str]) -> str:
    """What to do if two samples, from sources of these paths, have the same name."""
    in_one_directory = len({os.path.dirname(path) for path in paths}) == 1
    tree = options["source"] and not options["output_tree"] and not in_one_directory
    also = ", or, if a glob matches both, keep their directories by output_tree: true"
    return f"give them different names in a sample sheet{also if tree else ''}"


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
    if not found and (why := content_elsewhere(path)):
        raise ConfigError(f"{where}: source {path}: {why}")
    if not found:
        raise ConfigError(f"{where}: source {path} does not exist")
    if not (is_address(path) or os.access(found[0], os.R_OK)):
        raise ConfigError(f"{where}: source {found[0]} cannot be read: permission denied")


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
        for sample in samples_of("config", row, options, rows, absent):
            yield "config", replace(sample, bids=None if sample.label else root)


def _read_sheet(
    path: Path, options: Document, schema: Schema, rows: Schema, absent: list[str] | None
) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of each row of a sheet, with its place."""
    if absent is not None and not os.path.lexists(path):
        absent.append(f"config: samples {path}: there is no such file")
        return
    for row in read_rows(path, options, schema, rows):
        for sample in samples_of(row.where, row.cells, row.options, rows, absent):
            yield row.where, sample
