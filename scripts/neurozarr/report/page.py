"""The page of a sample: one HTML file that needs no other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurozarr import units
from neurozarr.report import facts, pictures
from neurozarr.report.drawn import LevelFigures
from neurozarr.report.figures import Painter
from neurozarr.report.histogram import histogram
from neurozarr.report.image import MAX_CHANNELS, Image, Level, label_stores, read_image
from neurozarr.report.planes import WINDOW
from neurozarr.report.templates import environment
from neurozarr.run import benchmarks
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import GROUP_FILES, LABELS, Document

#: Most labels beneath an image that are drawn, and most values of labels that are listed.
MAX_OVERLAYS, MAX_VALUES = 8, 30


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, its thumbnail (a PNG file), and what the list of all pages says of the sample."""

    html: str
    thumbnail: bytes
    row: Document


@dataclass(frozen=True, kw_only=True)
class LabelValue:
    """A row of the table of labels: its colour, its number of voxels, and what is known of it."""

    value: int
    color: str
    voxels: int
    about: str


def make_page(
    paths: StorePaths,
    *,
    source: str,
    options: dict[str, str],
    command: str,
    benchmarks_in: str,
    driver: str,
) -> Page:
    """Make the page of a published store.

    Parameters
    ----------
    paths
        Paths of the store.
    source
        Path of the source, as the user gave it.
    options
        Options that differ from their defaults.
    command
        The command that converts the sample again.
    benchmarks_in
        Directory of the benchmarks of its jobs.
    driver
        Library that reads the voxels.

    Raises
    ------
    DamageError
        A file of the store is missing.
    """
    given = 0 if paths.place is None else len(paths.place.names)
    image = read_image(paths.store, paths.zarr_version, driver=driver, given=given)
    painter = Painter(image)
    raw = facts.header_of(paths, driver)
    levels = facts.level_facts(image, paths)
    written = [level for level in levels if level.stored is not None]
    stored = sum(level.stored or 0 for level in levels)
    overview = painter.overview()
    shown = [
        painter.level(level, image.levels[: level.number] if level is overview else ())
        for level in image.levels
    ]
    counted, region = painter.counted_level()
    values = painter.counted()
    path, files, size = facts.source_files(paths)
    name = f"{paths.sample}{paths.label}"
    is_labels = image.labels is not None
    html = (
        environment()
        .get_template("page.html")
        .render(
            name=name,
            to_index="../" * name.count("/") + "index.html",
            image=image,
            axes=[_axis(image, axis) for axis in image.axes],
            unit=units.symbol(image.unit),
            time_unit=units.symbol(image.time_unit),
            base=image.levels[0],
            codec=facts.codec(image.levels[0].document),
            levels=levels,
            in_place=paths.place is not None,
            added=[level.number for level in written],
            raw=sum(level.raw for level in written),
            stored=stored,
            source={"given": source, "path": path, "files": files, "bytes": size},
            affines=facts.header_affines(raw) if raw else [],
            tilt=facts.tilt(raw) if raw else 0.0,
            shown=shown,
            cropped=_cropped(shown),
            window=WINDOW,
            overview=overview,
            slices=painter.slices(),
            channels=painter.channels(overview or image.levels[-1]),
            max_channels=MAX_CHANNELS,
            overlays=_overlays(paths, painter, overview, driver=driver),
            counted=counted,
            counted_whole=region is not None,
            windows=list(zip(image.channels, painter.windows, strict=True)),
            histogram=None if is_labels else _histogram(painter, values),
            values=_label_values(image, values[0]) if is_labels else None,
            statistics=facts.statistics(paths),
            steps=facts.steps(benchmarks.read(Path(benchmarks_in)), image),
            verified=facts.verified(paths),
            versions=facts.versions(paths, image.levels),
            options=options,
            command=command,
        )
    )
    row = {
        "name": name,
        "shape": facts.by(image.levels[0].shape),
        "axes": image.axes,
        "dtype": str(image.levels[0].dtype),
        "size": levels[0].size,
        "levels": len(levels),
        "stored": None if given else stored,
        "voxels": math.prod(image.levels[0].shape),
        "source": source,
        "made": facts.modified(paths.ome_receipt),
    }
    return Page(html=html, thumbnail=pictures.png(painter.thumbnail()), row=row)


def _axis(image: Image, axis: str) -> str:
    """Name of an axis with its anatomical direction, such as "x (left to right)"."""
    direction = image.directions.get(axis, "").replace("-", " ")
    return f"{axis} ({direction})" if direction else axis


def _cropped(shown: Sequence[LevelFigures]) -> list[int]:
    """Numbers of the levels of which only a part is shown."""
    return [each.level.number for each in shown if each.planes and not each.is_whole]


def _overlays(
    paths: StorePaths, painter: Painter, level: Level | None, *, driver: str
) -> list[dict[str, Any]]:
    """Pictures of the labels beneath an image; only names of those beyond `MAX_OVERLAYS`.

    None of an image of others: its labels may have been changed since.
    """
    if paths.label or paths.place is not None or level is None:
        return []
    last = GROUP_FILES[paths.zarr_version][-1]
    stores = label_stores(paths.store, paths.zarr_version)
    found = []
    for number, store in enumerate(store for store in stores if (store / last).is_file()):
        planes: Sequence[Any] = ()
        if number < MAX_OVERLAYS:
            labels = read_image(store, paths.zarr_version, driver=driver)
            planes = painter.labelled(level, labels)
        page = f"{paths.page.stem}/{LABELS}/{store.name}.html"
        found.append({"name": store.name, "page": page, "planes": planes})
    return found


def _histogram(painter: Painter, values: Sequence[np.ndarray[Any, Any]]) -> dict[str, str] | None:
    drawn = histogram(values, painter.image.channels, painter.windows)
    if drawn is None:
        return None
    return {theme: pictures.data_uri(file) for theme, file in drawn.items()}


def _label_values(image: Image, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The largest labels, with their colours, and how many there are."""
    found, counts = np.unique(values, return_counts=True)
    counts, found = counts[found != 0], found[found != 0]
    largest = np.argsort(-counts, kind="stable")[:MAX_VALUES]
    colors = pictures.label_colors(found[largest], pictures.own_colors(image.labels))
    about = {
        entry["label-value"]: ", ".join(
            f"{name}: {said}" for name, said in entry.items() if name != "label-value"
        )
        for entry in (image.labels or {}).get("properties", ())
    }
    rows = [
        LabelValue(
            value=int(found[place]),
            color="#{:02x}{:02x}{:02x}".format(*color),
            voxels=int(counts[place]),
            about=about.get(int(found[place]), ""),
        )
        for place, color in zip(largest, colors.tolist(), strict=True)
    ]
    return {"rows": rows, "count": len(found), "is_described": any(row.about for row in rows)}
