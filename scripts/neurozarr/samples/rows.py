"""The samples that a row of a sheet, or a source without one, stands for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from neurozarr.errors import ConfigError, SourceError
from neurozarr.files import content_elsewhere
from neurozarr.run.paths import StorePaths
from neurozarr.samples.columns import LAYOUT, PROPERTIES
from neurozarr.samples.in_place import existing, sample_options
from neurozarr.samples.made import of_dicom, vars_of
from neurozarr.samples.names import names_of
from neurozarr.samples.options import settings_of
from neurozarr.samples.sample import Sample
from neurozarr.samples.sample_source import SIZES
from neurozarr.samples.schema import Schema
from neurozarr.sources import family_of
from neurozarr.sources.base import Layout
from neurozarr.sources.dicom import DicomSource
from neurozarr.sources.paths import find, is_address, is_glob, parts
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.zarr.documents import LABELS, Document

logger = logging.getLogger(__name__)

#: Columns that say what is chosen in a source, and not what it is.
_CHOOSE = ("dataset", "in_place")


def samples_of(
    where: str, row: dict[str, str], options: Document, rows: Schema, absent: list[str] | None
) -> Iterator[Sample]:
    """Yield the samples of a row: its images, and the labels beneath each.

    Parameters
    ----------
    where
        The place of the row, for messages.
    row
        The cells of the columns that are not options of a group, by name.
    options
        All options of the row.
    rows
        Schema of a row.
    absent
        A list if the source need not exist yet: it is extended by the reason for which its samples
        are not known. None if it must exist.

    Raises
    ------
    ConfigError
        The row is wrong, or its source cannot be read.
    """
    for image in _each_image(where, row, options, absent):
        yield from _with_labels(where, image, options, rows)


def _each_image(
    where: str, row: dict[str, str], options: Document, absent: list[str] | None
) -> Iterator[dict[str, str]]:
    """Replace a row whose dataset is "*" by one for each image of its source."""
    unknown = _known_later(row)
    if unknown and (why := content_elsewhere(row["source"])):
        raise ConfigError(f"{where}: source {row['source']}: {why}")
    if unknown and absent is not None and not find(row["source"]):
        absent.append(
            f"{where}: source {row['source']} does not exist, so that {unknown} are not known: "
            "make it, then run again"
        )
        return
    if row.get("dataset") != "*":
        yield row
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


def _known_later(row: Mapping[str, str]) -> str:
    """What must be read from a source before its samples are known; otherwise empty."""
    if row.get("dataset") == "*":
        return "its images (dataset is *)"
    return "the levels that it has (in_place)" if row.get("in_place", "").lower() == "true" else ""


def _with_labels(
    where: str, row: dict[str, str], options: Document, rows: Schema
) -> Iterator[Sample]:
    """Yield the sample of a row, and those of the labels beneath the image that is its source.

    Labels of which the row would have to say more, because it does so of the image, are left out.
    """
    try:
        sample = _sample(row, options)
    except (ConfigError, SourceError) as error:
        raise ConfigError(f"{where}: {error}") from None
    yield sample
    family = family_of(row["source"])
    if family is None or "label_of" in row:
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
            yield replace(_sample(cells, options | own), label_of=vars_of(sample))
            continue
        try:
            rows.check(cells | {"sample": name})
        except ConfigError as error:
            logger.warning("%s: the label %s is left out: %s", where, label.dataset, error)
            continue
        beneath = {"sample": f"{row['sample']}/{LABELS}/{name}", "label_of": row["sample"]}
        yield _sample(cells | beneath, options | own)


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
    run = replace(settings_of(options), in_labels=() if _label(row) else (row["sample"],))
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
    if family_of(row["source"]) is not ZarrSource:
        raise ConfigError(
            f"in_place is for OME-Zarr images, but {row['source']} is none: leave it out"
        )
    return True


def _sample(row: dict[str, str], options: Document) -> Sample:
    if _is_in_place(row):
        image = existing(row["source"], row.get("dataset"), _paths(row, options))
        row = row | {"dataset": image.dataset}
        return replace(_plain_sample(row, sample_options(image, options)), existing=image)
    return _plain_sample(row, options)


def _plain_sample(row: dict[str, str], options: Document) -> Sample:
    sizes = [float(size) for size in row["voxel_size"].split(",")] if "voxel_size" in row else None
    return Sample(
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
