"""Pixel sizes of microscopy images, which BIDS keeps in their metadata.

BIDS 1.10, "Microscopy": ``PixelSize`` and ``PixelSizeUnits``.
"""

from __future__ import annotations

import json
import logging

from neurozarr.units import find_unit, is_plausible

logger = logging.getLogger(__name__)


def pixel_size(image: str, metadata: str) -> dict[str, tuple[float, str]]:
    """Sizes of a pixel along the axes of an image, from its metadata.

    Parameters
    ----------
    image
        Path of the image, for warnings.
    metadata
        Text of a JSON object, as of `neurozarr.bids.sidecars.texts`.

    Returns
    -------
    dict[str, tuple[float, str]]
        Size and unit along x, y and, if it is given, z; empty if the metadata have none, or if they
        are not valid: then a warning says so.
    """
    document = json.loads(metadata)
    sizes, unit = document.get("PixelSize"), document.get("PixelSizeUnits")
    if sizes is None:
        return {}
    name = find_unit(unit, "space") if isinstance(unit, str) else ""
    is_valid = isinstance(sizes, list) and len(sizes) in (2, 3) and all(map(_is_size, sizes))
    if not (is_valid and name):
        logger.warning(
            "%s: PixelSize is %s and PixelSizeUnits is %s in its metadata, which is not valid and "
            "is ignored: BIDS has 2 or 3 positive numbers (x, y, z), and mm, um or nm",
            image,
            json.dumps(sizes),
            json.dumps(unit),
        )
        return {}
    return {axis: (float(size), name) for axis, size in zip("xyz", sizes, strict=False)}


def _is_size(size: object) -> bool:
    return isinstance(size, int | float) and not isinstance(size, bool) and is_plausible(size)
