"""From a configuration and a sample sheet to samples: checked, with every default filled in."""

from __future__ import annotations

import copy
import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash

from neurozarr import anatomy, export, headers, ome, plan, pyramid
from neurozarr.config import ZarrConfig
from neurozarr.documents import Document
from neurozarr.errors import ConfigError
from neurozarr.options import Schema, suggest
from neurozarr.sources import Source, open_source, stem
from neurozarr.sources.paths import expand, find, is_address, is_glob, normal, sources
from neurozarr.sources.zarr_store import ZarrSource

#: Endings, in lower case, of files of voxels, and of their headers, which stand for both.
_PAIRS = {
    ".img": ".hdr",
    ".img.gz": ".hdr.gz",
    ".rec": ".par",
    ".brik": ".head",
    ".brik.gz": ".head",
}
#: Columns of a sample sheet that say what files do not say of their array, and what they hold.
LAYOUT: dict[str, Callable[[str], Any]] = {
    "axes": str,
    "dataset": str,
    "shape": lambda cell: tuple(map(int, cell.split(","))),
    "dtype": str,
    "order": str,
    "offset": int,
    "overlap": lambda cell: tuple(map(int, cell.split(","))),
}
#: Columns of a sample sheet beside the options.
COLUMNS = ("sample", "source", *LAYOUT, "voxel_size", "unit")
#: The longest ending of a file named after a sample, and the length of the longest path in a store.
_LONGEST_ENDING = "_level-10.nii.gz.tmp"
_LONGEST_PATH = 128
#: Options that hold for the whole run: they decide the names of the files in a store.
RUN_OPTIONS = ("zarr.zarr_version", "nifti.nii")
#: What NIfTI-Zarr 1.0.rc1 asks of arrays on Zarr v2 (sections 2.1 and 2.2).
_NIFTI_ZARR_2 = {
    "order": ("F",),
    "compressor": ("blosc", "zlib"),
    "dimension_separator": ("/",),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What holds for all samples of a run: where stores go, how they are checked, and the names of
    the files in them.
    """

    output: str
    zarr_version: Literal[2, 3]
    nii: bool
    verify: Literal["none", "quick", "full"]
    overwrite: bool

    @property
    def suffix(self) -> str:
        """Ending of a store's name."""
        return ".nii.zarr" if self.nii else ".ome.zarr"

    def written(self, samples: Iterable[str]) -> list[Path]:
        """All that a run may write and delete below its output: stores, receipts, exports."""
        output = Path(self.output)
        stores = [output / f"{name}{self.suffix}" for name in samples]
        return [*stores, output / ".state", output / "nifti"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One volume to convert, and how.

    Attributes
    ----------
    name
        Name of its files in the output.
    path
        What to convert: a file, a directory, a pattern or an address.
    layout
        What the files do not say of their array, or say wrongly: see `neurozarr.sources.Layout`.
    voxel_size, unit
        Likewise; None where they do.
    options
        Every option, by group and name.
    """

    name: str
    path: str
    layout: dict[str, Any]
    voxel_size: tuple[float, ...] | None
    unit: str | None
    options: dict[str, Any]

    @cached_property
    def zarr(self) -> ZarrConfig:
        """How the store is written.

        Raises
        ------
        ValueError
            The options contradict each other, or a specification.
        """
        options = {**self.options["zarr"], **self.options["pyramid"]}
        del options["mode"]
        if options["order"] == "auto":
            options["order"] = "F" if options["zarr_version"] == 2 else "C"
        if self.options["nifti"]["nii"] and options["zarr_version"] == 2:
            for name, allowed in _NIFTI_ZARR_2.items():
                if options[name] not in allowed:
                    raise ValueError(
                        f"zarr.{name} is {options[name]!r}, but NIfTI-Zarr on Zarr v2 has "
                        f"{' or '.join(map(repr, allowed))} alone; or set nifti: {{nii: false}}"
                    )
        return ZarrConfig(**options, ome_version=self.options["ome"]["ome_version"])

    @property
    def mode(self) -> str:
        """How a window of voxels becomes one."""
        return self.options["pyramid"]["mode"]

    @property
    def overrides(self) -> dict[str, Any]:
        """What `neurozarr.sources.open_source` is told beside the path."""
        return {**self.layout, "voxel_size": self.voxel_size, "unit": self.unit}

    @cached_property
    def source(self) -> Source:
        """The volume; its header is read when it is first asked for."""
        return open_source(self.path, **self.overrides)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored voxels."""
        dtype = self.source.dtype
        return headers.stored_dtype(dtype) if self.options["nifti"]["nii"] else dtype

    @property
    def header_options(self) -> dict[str, Any]:
        """What `neurozarr.headers.header_of` is told beside the overrides."""
        options = self.options["nifti"]
        return {
            "template": options["header"],
            "orientation": options["orientation"],
            "center": options["center"],
        }

    @cached_property
    def header(self) -> bytes:
        """The NIfTI header of the stored image; of an .ome.zarr, as if it had one.

        Raises
        ------
        ConfigError
            The options do not give one.
        """
        return headers.header_of(
            self.source,
            dtype=headers.stored_dtype(self.source.dtype),
            voxel_size=self.voxel_size,
            unit=self.unit,
            **self.header_options,
        )

    @cached_property
    def levels(self) -> tuple[plan.Level, ...]:
        """The levels of its pyramid, finest first.

        Raises
        ------
        SourceError
            The file cannot be converted.
        ConfigError
            The options do not fit the volume.
        """
        source = self.source
        try:
            levels = plan.plan_levels(
                source.shape,
                self.dtype,
                source.axes,
                self.zarr,
                read_shape=source.read_shape,
                in_order=source.file_axes if source.in_order else None,
                **self.options["resources"],
            )
            if len(levels) > 1:
                pyramid.check_mode(self.mode, self.dtype)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return levels

    @property
    def read_paths(self) -> list[Path]:
        """The files and directories that a run reads for this sample."""
        found = list(self.source.files)
        if isinstance(self.source, ZarrSource) and not is_address(self.path):
            found.append(Path(self.path))
        if self.options["nifti"]["header"]:
            found.append(Path(self.options["nifti"]["header"]))
        return found

    def check(self) -> None:
        """Raise a SourceError or a ConfigError for what is wrong with the file or its options."""
        _ = self.levels, self.attributes, self.channels

    def memory_mb(self, level: int, threads: int) -> int:
        """Memory of a job that writes a block of a level, in MB."""
        if level:
            return self.levels[level].memory_mb(threads)
        return plan.base_memory_mb(
            self.levels[0],
            threads,
            read_shape=self.source.read_shape,
            held_bytes=self.source.held_bytes,
        )

    @property
    def export_levels(self) -> list[int]:
        """Levels that are written as NIfTI files.

        Raises
        ------
        ConfigError
            The image has fewer levels.
        """
        wanted, last = self.options["export"]["levels"], len(self.levels) - 1
        if max(wanted) > last:
            raise ConfigError(
                f"export.levels is {wanted}, but the last level of {self.path} is {last}"
            )
        return wanted

    @property
    def export_memory_mb(self) -> int:
        """Memory of a job that writes a level as a NIfTI file, in MB."""
        base = self.levels[0]
        return export.memory_mb(base.shape, base.chunks, self.source.axes, base.dtype)

    def verify_memory_mb(self, verify: str, threads: int) -> int:
        """Memory of a job that verifies the store, in MB."""
        if verify != "full":
            return plan.BASE_MEMORY_MB
        return max(self.memory_mb(number, threads) for number in range(len(self.levels)))

    def verify_minutes(self, verify: str, threads: int) -> int:
        """Minutes that a job may take to verify the store."""
        if verify != "full":
            return plan.MIN_MINUTES
        return plan.verify_minutes(self.levels, threads)

    def parents(self, level: int, block: int) -> list[int]:
        """The blocks of the level above that a block of a level is made from."""
        parent, child = self.levels[level - 1], self.levels[level]
        steps = pyramid.factors(parent.shape, child.shape)
        return parent.blocks_of(pyramid.window(child.region(block), steps))

    @cached_property
    def attributes(self) -> Document:
        """The OME-Zarr metadata of its group."""
        source, version = self.source, self.zarr.ome_version
        return ome.attributes(
            axes=source.axes,
            shapes=[level.shape for level in self.levels],
            space_scale=source.voxel_size,
            time_scale=source.time_step,
            space_unit=source.space_unit,
            time_unit=source.time_unit,
            name=self.options["ome"]["name"] or self.name,
            no_pool=self.zarr.no_pyramid_axis,
            multiscales_type=self.mode,
            metadata={
                "method": "neurozarr.pyramid.downsample",
                "kwargs": {"mode": self.mode, "no_pyramid_axis": self.zarr.no_pyramid_axis},
            },
            orientation=anatomy.directions(self.header),
            spaces=anatomy.spaces(self.header),
            ome_version=ome.version_for(self.zarr.zarr_version) if version == "auto" else version,
        )

    @property
    def planned(self) -> dict[str, Any]:
        """What `neurozarr.verification.Planned` is made of."""
        has_header = self.options["nifti"]["nii"]
        return {
            "documents": [level.document for level in self.levels],
            "axes": self.source.axes,
            "attributes": self.attributes,
            "channels": self.channels,
            "header_checksum": xxhash.xxh3_64_intdigest(self.header) if has_header else None,
            "mode": self.mode,
        }

    @cached_property
    def channels(self) -> list[Document]:
        """Name and colour of each channel, for the OMERO metadata; none for complex numbers.

        Raises
        ------
        ConfigError
            There are not as many names or colours as channels.
        """
        if self.dtype.kind == "c":
            return []
        lengths = dict(zip(self.source.axes, self.source.shape, strict=True))
        count = lengths.get("c", 1)
        options = self.options["ome"]
        for name in ("channel_names", "channel_colors"):
            if options[name] is not None and len(options[name]) != count:
                raise ConfigError(
                    f"ome.{name} has {len(options[name])} values, but {self.path} has {count} "
                    "channels; give one for each"
                )
        return ome.channels(
            count,
            names=options["channel_names"] or self.source.channel_names or None,
            colors=options["channel_colors"] or self.source.channel_colors or None,
        )


def read_run(config: Document, schemas: str | Path) -> tuple[Run, dict[str, Sample]]:
    """Read and check a configuration and, if it names one, its sample sheet.

    Parameters
    ----------
    config
        What the user's file says; defaults come from the schema.
    schemas
        Directory of ``config.schema.yaml`` and ``samples.schema.yaml``.

    Returns
    -------
    Run, dict[str, Sample]
        What holds for all samples; and the samples by name, in the order of the sheet or of the
        files.

    Raises
    ------
    ConfigError
        Something is wrong; nothing but the existence of the sources has been looked at.
    """
    schema = Schema(Path(schemas) / "config.schema.yaml")
    rows = Schema(Path(schemas) / "samples.schema.yaml")
    try:
        options = _expanded(schema.with_defaults(config))
    except ConfigError as error:
        raise ConfigError(f"config: {error}") from None
    if options["samples"] and options["source"]:
        raise ConfigError("config: samples and source are both given; give one of them")
    if options["samples"]:
        read = _read_sheet(Path(options["samples"]), options, schema, rows)
    elif options["source"]:
        read = _find_sources(options, rows)
    else:
        raise ConfigError(
            "config: nothing to convert; give source (a file, a list of files, or a glob) or "
            "samples (a tab-separated sheet), such as --config source=scan.nii.gz"
        )
    samples: dict[str, Sample] = {}
    for where, sample in read:
        if sample.name in samples:
            raise ConfigError(
                f"{where}: sample {sample.name!r} is there twice, for {samples[sample.name].path} "
                f"and {sample.path}; a sample sheet can name them apart"
            )
        try:
            _ = sample.zarr
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        found = find(sample.path)
        if not found:
            raise ConfigError(f"{where}: source {sample.path} does not exist")
        if not (is_address(sample.path) or os.access(found[0], os.R_OK)):
            raise ConfigError(f"{where}: source {found[0]} cannot be read: permission denied")
        samples[sample.name] = sample
    _check_lengths(options["output"], samples)
    run = Run(
        output=options["output"],
        zarr_version=options["zarr"]["zarr_version"],
        nii=options["nifti"]["nii"],
        verify=options["verify"],
        overwrite=options["overwrite"],
    )
    return run, samples


def _expanded(options: Document) -> Document:
    """Options with all that stands for something else in their paths replaced."""
    expanded = copy.deepcopy(options)
    expanded["output"] = normal(_expand("output", options["output"]))
    if {"{", "}"} & set(expanded["output"]):
        raise ConfigError(
            f"output is {expanded['output']!r}, and the workflow cannot have curly brackets in it"
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


def _check_lengths(output: str, samples: Iterable[str]) -> None:
    """Raise a ConfigError where the names of files to be written are longer than the disk takes."""
    real = there = os.path.realpath(output)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    longest = max(samples, key=len)
    names = [*real.split("/"), longest + _LONGEST_ENDING]
    for what, size, limit in (
        ("a name in them", max(len(os.fsencode(name)) for name in names), "PC_NAME_MAX"),
        ("one of them", len(os.fsencode(real)) + len(longest) + _LONGEST_PATH, "PC_PATH_MAX"),
    ):
        most = os.pathconf(there, limit)
        if size > most:
            raise ConfigError(
                f"config: output, and the paths in it, are too long: for sample {longest}, {what} "
                f"has {size} bytes, and the disk of {there} takes {most}; choose shorter names"
            )


def _find_sources(options: Document, rows: Schema) -> Iterator[tuple[str, Sample]]:
    """One sample for each file that ``source`` names."""
    patterns = options["source"]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        paths = [pattern]
        if is_glob(pattern):
            paths = sources(pattern, options["output"])
        if not paths:
            raise ConfigError(f"config: source {pattern!r} matches no file")
        second = _second_files(paths)
        for path in (path for path in paths if path not in second):
            row = {"sample": stem(path), "source": path}
            try:
                rows.check(row)
            except ConfigError as error:
                raise ConfigError(f"config: source {path}: {error}") from None
            yield "config", _sample(row, options)


def _second_files(paths: list[str]) -> set[str]:
    """Those files that hold the voxels of a pair whose header is there as well."""
    there = {path.lower() for path in paths}
    return {
        path
        for path in paths
        for voxels, header in _PAIRS.items()
        if path.lower().endswith(voxels) and path.lower().removesuffix(voxels) + header in there
    }


def _read_sheet(
    path: Path, options: Document, schema: Schema, rows: Schema
) -> Iterator[tuple[str, Sample]]:
    """One sample for each row of a sheet."""
    if os.path.exists(path) and not path.is_file():
        raise ConfigError(f"config: samples {path} is a directory, a pipe or a device, not a file")
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
    _check_columns(path, columns, schema)
    if not lines:
        raise ConfigError(f"{path}: the sheet has no samples")
    for number, cells in lines:
        where = f"{path}, line {number}"
        if None in cells:
            raise ConfigError(f"{where}: more cells than there are columns ({len(columns)})")
        row = {name: cell.strip() for name, cell in cells.items() if cell and cell.strip()}
        try:
            rows.check({name: row[name] for name in row if name in COLUMNS})
            row |= {
                name: _expand(name, row[name]) for name in ("source", "nifti.header") if name in row
            }
            changed = copy.deepcopy(options)
            for name in (name for name in row if name not in COLUMNS):
                group, option = name.split(".")
                changed[group][option] = schema.parse(name, row[name])
            schema.check(changed)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        yield where, _sample(row, changed)


def _check_columns(path: Path, columns: Any, schema: Schema) -> None:
    allowed = [name for name in schema.options() if "." in name and name not in RUN_OPTIONS]
    for name in columns:
        if name in RUN_OPTIONS:
            raise ConfigError(f"{path}: column {name!r} holds for the whole run: put it in config")
        if name not in (*COLUMNS, *allowed):
            raise ConfigError(
                f"{path}: unknown column {name!r}{suggest(name, allowed + list(COLUMNS))}"
            )
    for name in ("sample", "source"):
        if name not in columns:
            raise ConfigError(f"{path}: column {name!r} is missing (columns are separated by tabs)")
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ConfigError(f"{path}: column {twice!r} is there twice")


def _sample(row: dict[str, str], options: Document) -> Sample:
    sizes = [float(size) for size in row["voxel_size"].split(",")] if "voxel_size" in row else None
    layout = {name: read(row[name]) for name, read in LAYOUT.items() if name in row}
    if is_glob(row["source"]):
        layout["output"] = options["output"]
    return Sample(
        name=row["sample"],
        path=row["source"],
        layout=layout,
        voxel_size=tuple(sizes * 3 if len(sizes) == 1 else sizes) if sizes else None,
        unit=row.get("unit"),
        options={
            group: options[group]
            for group in ("zarr", "pyramid", "ome", "resources", "nifti", "export")
        },
    )
