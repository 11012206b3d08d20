"""Voxels as pictures: PNG files whose bytes depend only on the voxels and the colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import hsv_to_rgb
from PIL import Image as Pillow

from neurozarr.report.image import Channel
from neurozarr.zarr.documents import Document

Window = tuple[float, float]
Picture = np.ndarray[Any, np.dtype[np.uint8]]

#: How much of the image the colours of labels hide.
OPACITY = 0.4
#: Part of the circle of hues between the colours of neighbouring labels: neighbours differ most.
_GOLDEN = 0.6180339887498949
#: Most colours of a PNG file with a palette.
_PALETTE = 256


def png(picture: Picture) -> bytes:
    """Encode a picture, (rows, columns) or (rows, columns, 3), as PNG."""
    image = Pillow.fromarray(np.ascontiguousarray(picture))
    colors = image.getcolors(_PALETTE) if picture.ndim == 3 else None
    if colors is not None:
        image = image.quantize(len(colors), dither=Pillow.Dither.NONE)
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(content: bytes) -> str:
    """A URI that contains a PNG file."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def intensities(
    voxels: np.ndarray[Any, Any], channels: Sequence[Channel], windows: Sequence[Window]
) -> Picture:
    """Draw intensities: grey, or the sum of coloured channels.

    Parameters
    ----------
    voxels
        Voxels with axes (channel, rows, columns). Those that are not a number are drawn black.
    channels, windows
        For each channel: its colour, and the values that are drawn black and in full colour.
    """
    scaled = [_scaled(plane, window) for plane, window in zip(voxels, windows, strict=True)]
    if len(channels) == 1 and set(channels[0].color) == {1.0}:
        return _bytes(scaled[0])
    total = np.zeros((*voxels.shape[1:], 3), np.float32)
    for plane, channel in zip(scaled, channels, strict=True):
        total += plane[..., np.newaxis] * np.asarray(channel.color, np.float32)
    return _bytes(total)


def labels(values: np.ndarray[Any, Any], colors: Mapping[int, Sequence[int]]) -> Picture:
    """Draw labels, (rows, columns), in a colour for each value; 0 is black.

    Parameters
    ----------
    values
        The labels.
    colors
        Red, green and blue, from 0 to 255, of the labels that have their own colour.
    """
    found, places = np.unique(values, return_inverse=True)
    return label_colors(found, colors)[places.reshape(values.shape)]


def overlay(base: Picture, values: np.ndarray[Any, Any], drawn: Picture) -> Picture:
    """Draw labels over a picture, which shows through; where the label is 0, only the picture."""
    colored = base if base.ndim == 3 else np.repeat(base[..., np.newaxis], 3, -1)
    mixed = np.rint((1 - OPACITY) * colored + OPACITY * drawn).astype(np.uint8)
    return np.where((values != 0)[..., np.newaxis], mixed, colored)


def label_colors(values: np.ndarray[Any, Any], colors: Mapping[int, Sequence[int]]) -> Picture:
    """Colours (red, green, blue) of labels: their own, or one that depends on the value only."""
    numbers = values.astype(np.float64)
    hue = numbers * _GOLDEN % 1
    # Two rings of colours, so that labels with nearly the same hue differ in brightness.
    bright = np.where(np.floor(numbers / 8) % 2 == 0, 1.0, 0.75)
    found = _bytes(hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.7), bright], -1)))
    for place, value in enumerate(values.tolist()):
        if value in colors:
            found[place] = colors[value]
    found[values == 0] = 0
    return found


def own_colors(described: Document | None) -> dict[int, tuple[int, int, int]]:
    """Colours of labels in the "image-label" metadata."""
    return {
        entry["label-value"]: tuple(entry["rgba"][:3])
        for entry in (described or {}).get("colors", ())
        if "rgba" in entry
    }


def _scaled(values: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Values from 0 to 1 within a window; 0 for those that are not a number."""
    start, end = window[0] / 2, window[1] / 2  # Differences of halves are always finite.
    with np.errstate(invalid="ignore"):
        scaled = (values.astype(np.float64) / 2 - start) / ((end - start) or 0.5)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1).astype(np.float32)


def _bytes(values: np.ndarray[Any, Any]) -> Picture:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
