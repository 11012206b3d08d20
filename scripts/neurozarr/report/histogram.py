"""The histogram of an image, for a light and for a dark page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurozarr.report.image import Channel

#: Colours of text and lines, and of a white channel, on a light and on a dark page.
THEMES = {"light": ("#4a5568", "#1f4e79"), "dark": ("#b8c0cc", "#8cc4ff")}
#: Size in inches, and pixels of an inch.
_SIZE, _DPI = (7.2, 2.3), 150
_BINS = 256
#: Products of larger values overflow while they are drawn.
_LARGEST = 1e100


def histogram(
    values: Sequence[np.ndarray[Any, Any]],
    channels: Sequence[Channel],
    windows: Sequence[tuple[float, float]],
) -> dict[str, bytes] | None:
    """Draw the histogram of finite values, as PNG files with a transparent background.

    Parameters
    ----------
    values
        The values of each channel.
    channels, windows
        The channels, and the values at which the contrast of the pictures starts and ends.

    Returns
    -------
    dict or None
        The files for a "light" and a "dark" page; None if there is no finite value.
    """
    finite = [
        np.clip(found[np.isfinite(found)].astype(np.float64), -_LARGEST, _LARGEST)
        for found in values
    ]
    known = [found for found in finite if found.size]
    if not known:
        return None
    low, high = min(found.min() for found in known), max(found.max() for found in known)
    edges = _edges(low, high, is_whole=all(found.dtype.kind in "biu" for found in values))
    counts = [np.histogram(found, edges)[0] for found in finite]
    return {
        theme: _draw(counts, edges, channels, windows, colors) for theme, colors in THEMES.items()
    }


def _edges(low: float, high: float, *, is_whole: bool) -> np.ndarray[Any, Any]:
    """Edges of the bins; whole numbers are in the middle of bins that all hold as many of them."""
    if not is_whole:
        return np.linspace(low, high if high > low else low + max(1, abs(low) / 100), _BINS + 1)
    width = max(1, -int(-(high - low + 1) // _BINS))
    return np.arange(low - 0.5, high + 0.5 + width, width)


def _draw(
    counts: Sequence[np.ndarray[Any, Any]],
    edges: np.ndarray[Any, Any],
    channels: Sequence[Channel],
    windows: Sequence[tuple[float, float]],
    colors: tuple[str, str],
) -> bytes:
    ink, plain = colors
    figure = Figure(figsize=_SIZE, dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.24, 0.895, 0.72))
    for count, channel, window in zip(counts, channels, windows, strict=True):
        color: Any = plain if set(channel.color) == {1.0} else channel.color
        axes.stairs(count, edges, color=color, fill=len(counts) == 1, label=channel.name)
        if len(counts) == 1:
            axes.axvspan(*np.clip(window, edges[0], edges[-1]), color=ink, alpha=0.12, linewidth=0)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom=0.7)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("stored value", color=ink)
    axes.set_ylabel("voxels", color=ink)
    axes.tick_params(colors=ink, which="both", labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    stream = io.BytesIO()
    # Matplotlib would name its version.
    figure.savefig(stream, format="png", transparent=True, metadata={"Software": None})
    return stream.getvalue()
