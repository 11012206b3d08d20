"""Adding levels to the metadata of an image of others: pure functions.

An extension is a JSON document with what is added:

datasets
    The "datasets" entries of the new levels, finest first.
multiscale, group
    Members of the first "multiscales" entry, and of the metadata of the group, that were missing.
nodes
    The documents of the new arrays and of groups around them, by their path from the image's group,
    as consolidated metadata list them.

`without` is the inverse of `extended`: it leaves what was there before as it was, also its order.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from neurozarr.ome.placement import Placement
from neurozarr.ome.reading import flat, images_of, metadata_of
from neurozarr.zarr.documents import Document

#: A number at the end of a part of a path.
_NUMBER = re.compile(r"\d+(?=$|/)")


def level_name(names: Sequence[str], number: int) -> str:
    """Path of a level, from those of the levels that an image has.

    The names go on as they are counted: after "0", "s0", "scale0/image" come "1", "s1" and
    "scale1/image".

    Parameters
    ----------
    names
        Paths of the levels that there are, finest first.
    number
        Number of the level, 0 for the finest.

    Raises
    ------
    ValueError
        It is not clear which number counts the levels.
    """
    if number < len(names):
        return names[number]
    last = len(names) - 1
    counted = [
        found
        for found in _NUMBER.finditer(names[last])
        if all(_counted(names[last], found, at - last) == names[at] for at in range(last))
    ]
    if len(counted) != 1:
        raise ValueError(
            f"the names of its levels, {', '.join(map(repr, names))}, do not say how the next one "
            "is called: the last must end in a number, or have one part that does, as 0, s0 and "
            "scale0/image, and the others must count up to it"
        )
    name = _counted(names[last], counted[0], number - last)
    assert name is not None
    return name


def _counted(name: str, found: re.Match[str], steps: int) -> str | None:
    """A name whose number is increased by some steps; None if it would be negative."""
    value = int(found[0]) + steps
    digits = f"{value:0{len(found[0])}d}" if found[0].startswith("0") else str(value)
    return None if value < 0 else name[: found.start()] + digits + name[found.end() :]


def dataset(last: Document, name: str, placement: Placement) -> Document:
    """The "datasets" entry of a new level.

    Parameters
    ----------
    last
        The entry of the last level that there is.
    name
        Path of the new level.
    placement
        Where the voxels of the new level are, along each axis, in voxels of that level.

    Raises
    ------
    ValueError
        The last level has no scale, or transformations other than scales and translations.
    """
    steps = last.get("coordinateTransformations") or []
    scale, shift = _scale_and_shift(last["path"], list(flat(steps)), len(placement.size))
    shift = [t + s * first for t, s, first in zip(shift, scale, placement.first, strict=True)]
    scale = [s * size for s, size in zip(scale, placement.size, strict=True)]
    made: list[Document] = [{"type": "scale", "scale": scale}]
    if any(shift) or any(step["type"] == "translation" for step in flat(steps)):
        made.append({"type": "translation", "translation": shift})
    if "output" in steps[-1]:  # From 0.6 on: one transformation, from the array to a system.
        whole = made[0] if len(made) == 1 else {"type": "sequence", "transformations": made}
        start = name if isinstance(steps[0].get("input"), str) else {"path": name}
        made = [whole | {"input": start, "output": steps[-1]["output"]}]
    return {"path": name, "coordinateTransformations": made}


def _scale_and_shift(
    path: str, steps: Sequence[Document], ndim: int
) -> tuple[list[float], list[float]]:
    """Scale and translation of a level, from its transformations."""
    scale, shift = [1.0] * ndim, [0.0] * ndim
    for step in steps:
        kind = step["type"]
        if kind not in ("scale", "translation", "identity"):
            raise ValueError(f"a transformation of the level {path} is of the type {kind!r}")
        numbers = step.get(kind, [1.0] * ndim)
        if not isinstance(numbers, list) or len(numbers) != ndim:
            raise ValueError(f"the {kind} of the level {path} is {numbers!r}, not {ndim} numbers")
        if kind == "translation":
            shift = [s + t for s, t in zip(shift, numbers, strict=True)]
        else:
            scale = [s * f for s, f in zip(scale, numbers, strict=True)]
            shift = [s * f for s, f in zip(shift, numbers, strict=True)]
    if not any(step["type"] == "scale" for step in steps):
        raise ValueError(f"its metadata give no scale of the level {path}")
    return scale, shift


def extended(attributes: Document, extension: Document) -> Document:
    """The attributes of a group with an extension; members that are there already stay."""
    changed = copy.deepcopy(attributes)
    image = images_of(changed)[0]
    known = {entry["path"] for entry in image["datasets"]}
    image["datasets"] += [e for e in extension["datasets"] if e["path"] not in known]
    for place, added in ((image, "multiscale"), (metadata_of(changed), "group")):
        for name, value in extension[added].items():
            place.setdefault(name, value)
    return changed


def without(attributes: Document, extension: Document) -> Document:
    """The attributes of a group without an extension; members that were edited since stay."""
    changed = copy.deepcopy(attributes)
    if not images_of(changed):
        return changed
    image = images_of(changed)[0]
    added_names = {entry["path"] for entry in extension["datasets"]}
    image["datasets"] = [e for e in image["datasets"] if e["path"] not in added_names]
    for place, added in ((image, "multiscale"), (metadata_of(changed), "group")):
        for name, value in extension[added].items():
            if name in place and place[name] == value:
                del place[name]
    return changed


def document_extended(document: Document, extension: Document, *, add: bool) -> Document:
    """A zarr.json of the image's group with an extension or, if not ``add``, without it.

    Its consolidated metadata, if it has some, also get or lose the new nodes.
    """
    change = extended if add else without
    changed = dict(document)
    changed["attributes"] = change(document.get("attributes") or {}, extension)
    inline = document.get("consolidated_metadata") or {}
    if inline.get("metadata"):
        nodes = consolidated(inline["metadata"], "", extension, add=add)
        changed["consolidated_metadata"] = inline | {"metadata": nodes}
    return changed


def consolidated(metadata: Document, prefix: str, extension: Document, *, add: bool) -> Document:
    """Consolidated metadata with an extension or, if not ``add``, without it.

    Parameters
    ----------
    metadata
        Documents by their paths: those of files in Zarr v2, those of nodes in Zarr v3.
    prefix
        Path of the image's group, with "/" at its end; "" if it is the group that has the metadata.
    extension
        What is added to the image.
    add
        Whether to add it or to take it away.
    """
    change = extended if add else without
    ours = {prefix + path: document for path, document in extension["nodes"].items()}
    changed = dict(metadata) if add else {k: v for k, v in metadata.items() if k not in ours}
    if prefix + ".zattrs" in changed:
        changed[prefix + ".zattrs"] = change(changed[prefix + ".zattrs"], extension)
    if prefix and prefix[:-1] in changed:
        changed[prefix[:-1]] = document_extended(changed[prefix[:-1]], extension, add=add)
    return _inserted(changed, ours) if add else changed


def _inserted(nodes: Document, new: Document) -> Document:
    """Consolidated metadata with new nodes, each after the last one of the same group.

    zarr-python (3.1) loses nodes of a group that are not listed one after the other.
    """
    keys = list(nodes)
    for key in new:
        if key not in nodes:
            beside = [at for at, known in enumerate(keys) if _group_of(known) == _group_of(key)]
            keys.insert(beside[-1] + 1 if beside else len(keys), key)
    return {key: new[key] if key in new else nodes[key] for key in keys}


def _group_of(key: str) -> str:
    """Path of the group of a node that consolidated metadata list."""
    outer, _, name = key.rpartition("/")
    return outer.rpartition("/")[0] if name.startswith(".z") else outer
