"""The options of a run: checked against their schema, with defaults, and with whole paths."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from neurozarr.errors import ConfigError
from neurozarr.samples.columns import as_cells
from neurozarr.samples.schema import CONFIG_SCHEMA, Schema
from neurozarr.samples.settings import RunSettings
from neurozarr.sources.paths import expand, is_within, normal
from neurozarr.zarr.documents import Document

#: Configuration file that Snakemake reads if it is in the working directory.
FOUND_CONFIG = Path("config/config.yaml")
_OF_ANOTHER_PROJECT = (
    " (this file is read because it is in the working directory: if it belongs to another project, "
    "run in another directory)"
)


def read_options(config: Document, schema: Schema, files: Sequence[str | Path]) -> Document:
    """Check a configuration, and return all options by their names.

    Parameters
    ----------
    config
        The user's options; the others get their defaults.
    schema
        Schema of the configuration.
    files
        Configuration files from which options were read; errors name that of an unknown option.

    Raises
    ------
    ConfigError
        An option is unknown or not valid.
    """
    _check_known(config, schema, files)
    try:
        return _expanded(schema.with_defaults(as_cells(config)))
    except ConfigError as error:
        raise ConfigError(f"config: {error}") from None


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


def settings_of(options: Document) -> RunSettings:
    """The settings of a run that follow from its options alone."""
    return RunSettings(
        output=options["output"],
        zarr_version=options["zarr"]["zarr_version"],
        nii=options["nifti"]["nii"],
        verify=options["verify"],
        overwrite=options["overwrite"],
        bundle=options["resources"]["bundle"],
        check_space=options["resources"]["check_space"],
    )


def expand_path(option: str, path: str) -> str:
    """Expand the path that an option has; its errors name the option."""
    try:
        return expand(path, addresses=option == "source")
    except ConfigError as error:
        raise ConfigError(f"{option} {error}") from None


def _expanded(options: Document) -> Document:
    """Return options with `~`, variables and links in their paths resolved."""
    expanded = copy.deepcopy(options)
    expanded["output"] = normal(expand_path("output", options["output"]))
    if {"{", "}"} & set(expanded["output"]):
        raise ConfigError(
            f"output is {expanded['output']!r}; curly brackets in it are not supported"
        )
    if sheet := options["samples"]:
        expanded["samples"] = expand_path("samples", sheet)
    if isinstance(options["source"], str):
        expanded["source"] = expand_path("source", options["source"])
    elif options["source"]:
        expanded["source"] = [expand_path("source", path) for path in options["source"]]
    if header := options["nifti"]["header"]:
        expanded["nifti"]["header"] = expand_path("nifti.header", header)
    return expanded


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
