"""Images of others, to which levels are added where they are (the option ``in_place``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from neurozarr import ome
from neurozarr.errors import ConfigError, SourceError
from neurozarr.files import content_elsewhere
from neurozarr.ome import reading
from neurozarr.ome.extending import dataset, level_name
from neurozarr.run import extending
from neurozarr.run.paths import Place, StorePaths
from neurozarr.samples.schema import CONFIG_SCHEMA, Schema
from neurozarr.sources import family_of
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.images import damage_named, find, image_level_of, level_of
from neurozarr.sources.zarr.nodes import Node, Store, join
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.zarr import metadata
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import FILES, Document, group_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neurozarr.plan import Level

#: The attribute in which xarray keeps the names of an array's dimensions.
_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: Versions of OME-Zarr in which levels have a scale.
_VERSIONS = ("0.4", "0.5", "0.6")


@dataclass(frozen=True, kw_only=True)
class Existing:
    """What an image of others has, without what this workflow added to it.

    Attributes
    ----------
    place
        Directory of its group, and the paths of its levels.
    path
        Path of its group in the store that is the source.
    zarr_version
        Version of the Zarr format.
    documents
        Metadata of the arrays of its levels, finest first.
    dimensions
        Attribute with the names of the dimensions, by path in the image's group, of the array of
        its last level and of groups around it; None for those without.
    attributes
        Attributes of its group.
    """

    place: Place
    path: str
    zarr_version: Literal[2, 3]
    documents: tuple[Document, ...]
    dimensions: dict[str, list[str] | None]
    attributes: Document

    @property
    def image(self) -> Document:
        """Its "multiscales" metadata."""
        return reading.image_of(self.attributes)

    @property
    def dataset(self) -> str:
        """Path of the array of its last level in the store that is the source."""
        return join(self.path, self.place.names[-1])

    def extension(self, levels: Sequence[Level], axes: str, members: Mapping[str, Any]) -> Document:
        """What is added to its metadata.

        Parameters
        ----------
        levels
            All levels, finest first.
        axes
            Names of the axes of the arrays.
        members
            ``mode``, ``edge`` and ``name``: downsampling mode, option ``pyramid.edge``, and name of
            the image.

        Raises
        ------
        ValueError
            The position of its last level is unknown.
        """
        there = len(self.place.names)
        new = [level for level in levels if not level.given]
        places = ome.of_factors(
            [(1,) * len(axes), *(level.factors for level in new)],
            centred=members["mode"] != "stride",
        )[1:]
        names = [level_name(self.place.names, there + number) for number in range(len(new))]
        last = self.image["datasets"][there - 1]
        multiscale: Document = {"name": members["name"]} if members["name"] else {}
        if new and there == 1:  # Otherwise, it would also speak of the levels of others.
            multiscale |= {
                "type": members["mode"],
                "metadata": {
                    "method": "neurozarr.voxels.kernels.downsample",
                    "kwargs": {
                        "mode": members["mode"],
                        "factors": [list(level.factors) for level in new],
                        "edge": members["edge"],
                    },
                },
            }
        nodes: Document = {}
        for name, level in zip(names, new, strict=True):
            nodes |= {f"{name}/{FILES[self.zarr_version][0]}": level.document} | self.beside(name)
        if self.zarr_version == 3:  # Consolidated metadata of Zarr v3 name nodes, not files.
            nodes = {file.rpartition("/")[0]: document for file, document in nodes.items()}
        return {
            "datasets": [
                dataset(last, name, place) for name, place in zip(names, places, strict=True)
            ],
            "multiscale": {k: v for k, v in multiscale.items() if k not in self.image},
            "group": {},
            "nodes": nodes,
        }

    def beside(self, name: str) -> Document:
        """Documents of a new level beside that of its array, by path in the image's group.

        They are those of the groups around it, and the attributes of the array (Zarr v2).
        """
        last, found = self.place.names[-1], Document()
        for outer, given in zip(_outer(name), _outer(last), strict=True):
            if outer != given:  # Otherwise, it is a group of others.
                documents = group_documents(self.zarr_version, self._dimensions(given))
                found |= {f"{outer}/{file}": document for file, document in documents.items()}
        if self.zarr_version == 2 and self._dimensions(last):
            found[f"{name}/{FILES[2][1]}"] = self._dimensions(last)
        return found

    def _dimensions(self, path: str) -> Document:
        names = self.dimensions.get(path)
        return {} if names is None else {_DIMENSIONS: names}


def _outer(path: str) -> list[str]:
    """Paths of the groups around a node, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def existing(path: str, dataset: str | None, paths: StorePaths) -> Existing:
    """Look at the image of others that a source is.

    Parameters
    ----------
    path, dataset
        The source, and what is chosen in it.
    paths
        Paths that the sample would have in the output.

    Raises
    ------
    SourceError
        It is not an OME-Zarr image in a directory, or one to which no levels can be added.
    """
    if is_address(path):
        raise SourceError(f"{path}: in_place needs a directory that can be written, not a URL")
    if why := content_elsewhere(path):
        raise SourceError(f"{path}: {why}")
    if not os.path.exists(path):
        raise SourceError(f"{path}: there is no such directory")
    if family_of(path) is not ZarrSource:
        raise SourceError(
            f"{path}: in_place is for OME-Zarr images, and this is none: convert it into a new "
            "store, without in_place"
        )
    with damage_named(path):
        store, array = find(path, dataset)
        found = image_level_of(store, array)
        if found is None or array.version == "n5":
            raise SourceError(
                f"{store.address(array.path)}: in_place is for OME-Zarr images, and this array is "
                "no level of one: convert it into a new store, without in_place"
            )
        return _existing(store, found.group, paths)


def _existing(store: Store, group: Node, paths: StorePaths) -> Existing:
    version: Literal[2, 3] = 3 if group.version == 3 else 2
    folder = os.path.realpath(store.address(group.path))
    names = tuple(entry["path"] for entry in reading.image_of(group.attributes)["datasets"])
    paths = replace(paths, nii=False, zarr_version=version, place=Place(group=folder, names=names))
    attributes = extending.plain_attributes(paths)
    image = reading.image_of(attributes)
    said = str(reading.version_of(attributes))
    if not said.startswith(_VERSIONS):
        raise SourceError(
            f"{folder}: OME-Zarr {said}; in_place is for {', '.join(_VERSIONS)}, in which levels "
            "have a scale: convert it into a new store, without in_place"
        )
    levels = [level_of(store, group, image, level) for level in reading.levels_of(image)]
    names = tuple(reading.path_of(image, level) for level in reading.levels_of(image))
    try:
        level_name(names, len(names))
        (same,) = ome.of_factors([(1,) * len(levels[-1].document["shape"])])
        dataset(image["datasets"][-1], names[-1], same)
        for level in levels:
            _check_array(level)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{folder}: no levels can be added to it: {error}") from None
    around = [store.node(join(group.path, outer)) for outer in _outer(names[-1])]
    nodes = [levels[-1], *(node for node in around if node is not None)]
    below = len(group.path) + 1 if group.path else 0
    return Existing(
        place=Place(group=folder, names=names),
        path=group.path,
        zarr_version=version,
        documents=tuple(level.document for level in levels),
        dimensions={node.path[below:]: node.attributes.get(_DIMENSIONS) for node in nodes},
        attributes=attributes,
    )


def _check_array(level: Node) -> None:
    """Raise a ValueError or a TypeError if levels cannot be made from an array."""
    metadata.dtype_of(level.document)
    if 0 in level.document["shape"]:
        raise ValueError(f"{level.path} is empty: its shape is {level.document['shape']}")
    if level.version == 3 and level.document["chunk_grid"]["name"] != "regular":
        raise ValueError(f"{level.path} has a chunk grid {level.document['chunk_grid']['name']!r}")


def new_array_options(existing: Existing, zarr: Mapping[str, Any]) -> dict[str, Any]:
    """The options of arrays that new levels are to have instead of those of the last level.

    They are those that differ from their defaults. The others are those of the last level.
    """
    defaults = _defaults()["zarr"]
    changed = {name: value for name, value in zarr.items() if value != defaults[name]}
    return {k: v for k, v in changed.items() if k not in ("driver", "zarr_version")}


def sample_options(existing: Existing, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a sample that is an image of others.

    There is no NIfTI header. Arrays with codecs for which there is no option, not all of which
    TensorStore knows, are read and written by zarr-python.

    Raises
    ------
    ConfigError
        Another version of Zarr is asked for.
    """
    zarr, version = options["zarr"], existing.zarr_version
    if zarr["zarr_version"] not in (version, _defaults()["zarr"]["zarr_version"]):
        raise ConfigError(
            f"zarr.zarr_version is {zarr['zarr_version']}, but {existing.place.group} is Zarr "
            f"v{version}, and its new levels must be too"
        )
    zarr = zarr | {"zarr_version": version}
    try:
        ZarrConfig(**metadata.options(existing.documents[-1]))
    except (KeyError, ValueError):
        zarr["driver"] = "zarr-python"
    return {**options, "zarr": zarr, "nifti": options["nifti"] | {"nii": False}}


def check_options(existing: Existing, options: Mapping[str, Any]) -> None:
    """Raise a ConfigError if an option cannot be met, because the metadata are those of others.

    Parameters
    ----------
    existing
        The image.
    options
        All options, by group and name.
    """
    group, known = existing.place.group, reading.metadata_of(existing.attributes)
    asked, version = options["ome"], str(reading.version_of(existing.attributes))
    if asked["ome_version"] != "auto" and not version.startswith(asked["ome_version"]):
        raise ConfigError(
            f"ome.ome_version is {asked['ome_version']!r}, but {group} is OME-Zarr {version}, and "
            "in_place does not change that"
        )
    has = {
        "ome.name": "name" in existing.image,
        "ome.channel_names": "omero" in known,
        "ome.channel_colors": "omero" in known,
        "ome.orientation": True,
        "nifti.header": True,
    }
    for name, is_there in has.items():
        section, option = name.split(".")
        if is_there and options[section][option] is not None:
            raise ConfigError(
                f"{name} is given, but in_place only adds what the metadata of {group} do not "
                "have: leave it out"
            )


@cache
def _defaults() -> Document:
    return Schema(CONFIG_SCHEMA).with_defaults({})
