"""Finding the images and arrays of Zarr and N5 stores."""

from __future__ import annotations

import io
import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.ome import reading
from neurozarr.sources.base import Member
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.paths import PRECOMPUTED, is_address
from neurozarr.sources.zarr.nodes import DOCUMENTS, Node, Store, is_below, join
from neurozarr.tables import counted
from neurozarr.zarr.documents import LABELS, Document

logger = logging.getLogger(__name__)

#: Maximum number of images that an error lists.
_MAX_LISTED = 20
#: Maximum depth of nested groups.
_MAX_DEPTH = 64
#: Errors caused by invalid metadata.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
#: The OME-XML of all images of a collection (OME-Zarr 0.5, "bioformats2raw.layout").
_OME_XML = "OME/METADATA.ome.xml"


@dataclass(frozen=True, kw_only=True)
class ImageLevel:
    """The group and the metadata of an OME-Zarr image, and the level that an array is of it."""

    group: Node
    image: Document
    level: int


@contextmanager
def damage_named(path: str) -> Iterator[None]:
    """Turn errors caused by invalid metadata into SourceErrors."""
    with (
        as_source_errors(path, "its metadata are invalid", _DAMAGE),
        np.errstate(all="ignore"),  # Values that are not plausible are ignored.
    ):
        yield


def check_converted(path: str) -> None:
    """Raise a SourceError if a path that should be that of a store is a file."""
    if os.path.isfile(path):
        raise SourceError(f"{path}: a file, not a store; convert it first: neurozarr run {path}")


def _stores_in(path: str) -> list[str]:
    """Names of what is in a directory and named like stores."""
    names = os.listdir(path) if os.path.isdir(path) else []
    return sorted(name for name in names if name.endswith((".zarr", ".n5")))


def open_store(path: str) -> Store:
    """Open the store at a path or URL.

    Raises
    ------
    SourceError
        There is none.
    """
    if is_address(path) and {"?", "#"} & set(path):
        raise SourceError(f"{path}: the URL of a store must not contain ? or #")
    store = Store(path)
    if store.node("") is None:
        if not store.is_address and not os.path.exists(path):
            raise SourceError(f"{path}: there is no such directory")
        if inside := _stores_in(path):
            raise SourceError(
                f"{path}: not a store, but a directory with {counted(len(inside), 'store')}: name "
                f"a store, such as {os.path.join(path, inside[0])}"
            )
        other = (
            f"; is it {PRECOMPUTED}{path}? Other files must be downloaded"
            if store.is_address
            else ""
        )
        raise SourceError(
            f"{path}: neither Zarr nor N5: it has none of {', '.join(DOCUMENTS)}{store.denied}"
            f"{other}"
        )
    return store


def find(path: str, dataset: str | None) -> tuple[Store, Node]:
    """The array that a path and a dataset name, or the only one there."""
    store = open_store(path)
    name = (dataset or "").strip("/")
    if name and not is_below(name):
        raise SourceError(f"{path}: dataset is {dataset!r}; give names of groups, such as a/b")
    if store.node(name) is None:
        found = list(itertools.islice(images(store, ""), _MAX_LISTED))
        raise SourceError(
            f"{path}: dataset is {dataset!r}, but there is no such array or group{store.denied}"
            + (f"; there are: {', '.join(found)}" if any(found) else "")
        )
    found = list(itertools.islice(images(store, name), _MAX_LISTED + 1))
    if not found:
        raise SourceError(f"{store.address(name)}: no array or image found in it; give dataset")
    if len(found) > 1:
        more = ", ..." if len(found) > _MAX_LISTED else ""
        raise SourceError(
            f"{path}: several images; name one by dataset: {', '.join(found[:_MAX_LISTED])}{more}"
        )
    return store, base_of(store, found[0])


def members(path: str) -> list[Member]:
    """List the images of a store, as `images` finds them; of arrays, those that can be images.

    These have 2 to 5 dimensions, two of them longer than 1, and hold numbers. An image has the name
    that the OME-XML of a collection gives it; or else its path, which in a plate is that of the
    well and the field; "0" if it is the store.

    Raises
    ------
    SourceError
        There are none.
    """
    store = open_store(path)
    found = [
        name
        for name in images(store, "")
        if (node := store.node(name)) and not (node.is_array and not _may_be_image(node))
    ]
    if not found:
        raise SourceError(f"{path}: no array or image found in it; give dataset")
    names = _names_in_xml(store)
    return [Member(name or "/", names.get(name) or name or "0") for name in found]


def labels_of(path: str, dataset: str | None) -> list[Member]:
    """List the labels beneath the image that a path and a dataset name; none if it is an array."""
    store, array = find(path, dataset)
    found = image_level_of(store, array)
    if found is None or (dataset or "").strip("/") == array.path:
        return []
    group = store.node(join(found.group.path, LABELS))
    labels = []
    for name in (group and reading.members_of(group.attributes)) or []:
        label = store.node(join(found.group.path, f"{LABELS}/{name}")) if is_below(name) else None
        if label is None or not multiscales_of(label):
            logger.warning("%s: its list of labels names %r, which is none", path, name)
            continue
        labels.append(Member(dataset=label.path, name=name))
    return labels


def _may_be_image(array: Node) -> bool:
    """Whether an array may be an image, and not a table."""
    shape = array.document["dimensions" if array.version == "n5" else "shape"]
    kind = array.document.get("dataType" if array.version == "n5" else "data_type", "")
    kind = array.document["dtype"] if array.version == 2 else kind
    try:
        is_number = np.dtype(kind).kind in "biufc"
    except (TypeError, ValueError):  # A data type that NumPy lacks, or one with fields.
        is_number = False
    return 2 <= len(shape) <= 5 and sum(side > 1 for side in shape) > 1 and is_number


def _names_in_xml(store: Store) -> dict[str, str]:
    """Names of the images of a collection, by path, in the order of its OME-XML; not of a plate."""
    root = store.node("")
    if root is None or not reading.is_series(root.attributes):
        return {}
    if reading.members_of(root.attributes) is not None:
        return {}
    content = store.content(_OME_XML)
    if content is None:
        return {}
    try:
        names = list(_names(content))
    except (ElementTree.ParseError, ValueError) as error:
        logger.warning("%s: names are ignored (%s)", store.address(_OME_XML), error)
        return {}
    ome = store.node("OME")
    series = (reading.series_of(ome.attributes) if ome else []) or [
        str(number) for number in range(len(names))
    ]
    return dict(zip(series, names, strict=True)) if len(series) == len(names) else {}


def _names(content: bytes) -> Iterator[str]:
    """Names of the images in OME-XML, which may be large, so that other elements are dropped."""
    depth = 0
    for event, element in ElementTree.iterparse(io.BytesIO(content), ("start", "end")):
        depth += 1 if event == "start" else -1
        if event == "end":
            element.clear()
        elif depth == 2 and element.tag.rpartition("}")[2] == "Image":
            yield element.get("Name", "").strip()


def images(store: Store, path: str, outer: tuple[str, ...] = ()) -> Iterator[str]:
    """Find the images at and below a path of a store.

    Parameters
    ----------
    store
        The store.
    path
        Path to start from; "" for the root.
    outer
        Real paths of the groups that were passed on the way, to detect loops.

    Yields
    ------
    str
        Path of an array, or of the group of an OME-Zarr image.

    Raises
    ------
    SourceError
        Links form a loop, groups are nested too deep, or metadata are damaged.
    """
    address = store.address(path)
    real = address if store.is_address else os.path.realpath(address)
    if real in outer:
        raise SourceError(f"{address}: a link to {real}, which contains it; remove the link")
    if len(outer) > _MAX_DEPTH:
        raise SourceError(f"{address}: more than {_MAX_DEPTH} nested groups")
    node = store.node(path)
    if node is None:
        return
    if node.is_array or multiscales_of(node):
        yield path
        return
    listed = reading.members_of(node.attributes) is not None or reading.is_series(node.attributes)
    for name in _children(store, node):
        if not is_below(name):
            raise SourceError(
                f"{store.address(path)}: damaged: its metadata list an image {name!r}"
            )
        if listed and store.node(join(path, name)) is None:
            logger.warning("%s: its metadata list %r, which is missing", address, name)
        yield from images(store, join(path, name), (*outer, real))


def _children(store: Store, group: Node) -> Iterator[str]:
    """Names of the members of a group that may be or contain images.

    They are listed in the metadata of collections (OME-Zarr 0.5: "bioformats2raw.layout", "plate",
    "well", "labels"). In an N5 multiscale group, only the finest level (s0) counts; in other
    groups, all members do.
    """
    if (members := reading.members_of(group.attributes)) is not None:
        yield from members
    elif reading.is_series(group.attributes):
        ome = store.node(join(group.path, "OME"))
        series = reading.series_of(ome.attributes) if ome else []
        numbers = map(str, itertools.count())
        yield from series or itertools.takewhile(
            lambda name: store.node(join(group.path, name)), numbers
        )
    elif group.version == "n5" and (first := store.node(join(group.path, "s0"))) and first.is_array:
        yield "s0"
    else:
        yield from store.names(group)


def base_of(store: Store, path: str) -> Node:
    """The array at a path, or level 0 of the image there."""
    node = store.node(path)
    assert node is not None
    return node if node.is_array else level_of(store, node, reading.image_of(node.attributes), 0)


def level_of(store: Store, group: Node, image: Document, level: int) -> Node:
    """Find the array of a level of an image.

    Parameters
    ----------
    store
        The store.
    group
        Group of the image.
    image
        Its multiscale metadata.
    level
        The level, 0 for the finest.

    Returns
    -------
    Node
        The array.

    Raises
    ------
    SourceError
        There is no such array.
    """
    path = join(group.path, reading.path_of(image, level))
    node = store.node(path)
    if node is None or not node.is_array:
        raise SourceError(
            f"{store.address(path)}: level {level} of the image is missing{store.denied}"
        )
    return node


def multiscales_of(node: Node) -> list[Document]:
    """The multiscale metadata of a group; not in N5, where the same key has other uses."""
    return [] if node.version == "n5" else reading.images_of(node.attributes)


def with_image(store: Store, node: Node) -> tuple[Store, Node, ImageLevel | None]:
    """Find the image of an array, also in groups that contain the store.

    Returns the store that contains the image, the array in that store, and the image; None if the
    array is not a level of any image.
    """
    inner, image_level = (store, node), image_level_of(store, node)
    while image_level is None and (found := store.outer()):
        outer, name = found
        try:
            group, moved = outer.node(""), outer.node(join(name, node.path))
        except (SourceError, KeyError):  # Damaged metadata there do not concern this array.
            break
        if group is None or group.is_array or moved is None:
            break
        store, node = outer, moved
        image_level = image_level_of(store, node)
    # In N5, the attributes of all outer groups may apply.
    return (store, node, image_level) if image_level or node.version == "n5" else (*inner, None)


def image_level_of(store: Store, array: Node) -> ImageLevel | None:
    """The image of its store that an array is a level of; None if there is none."""
    for group in parents(store, array):
        for image in multiscales_of(group):
            for level in reading.levels_of(image):
                if join(group.path, reading.path_of(image, level)) == array.path:
                    return ImageLevel(group=group, image=image, level=level)
    return None


def parents(store: Store, node: Node) -> Iterator[Node]:
    """The groups in a store that contain a node, innermost first."""
    path = node.path
    while path:
        path = path.rpartition("/")[0]
        if group := store.node(path):
            yield group


def is_below_labels(store: Store, path: str) -> bool:
    """Whether a group named "labels" contains a node, which holds labels then (OME-Zarr, "labels").

    Parameters
    ----------
    store
        The store.
    path
        Path of the image or array.
    """
    above = join(_name(store), path).split("/")[:-1]
    if "labels" in above:
        return True
    found = store.outer()
    if found is None or _name(found[0]) != "labels":
        return False
    try:
        return found[0].node("") is not None
    except (SourceError, KeyError):  # Damaged metadata there do not concern this image.
        return False


def _name(store: Store) -> str:
    """Name of the directory of a store."""
    root = store.root if store.is_address else os.path.abspath(store.root)
    return root.rpartition("/")[2]
