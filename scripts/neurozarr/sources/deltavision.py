"""DeltaVision images: MRC files with the header of Priism/IVE, which softWoRx writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.sources.base import Layout
from neurozarr.sources.damage import as_source_errors
from neurozarr.sources.numpy_file import MappedSource
from neurozarr.units import is_plausible

#: Size of the header, in bytes.
_START = 1024
#: Offsets and types of the fields of the header (Priism/IVE, "Image File Format").
_FIELDS = {
    "lengths": (0, "3i4"),
    "mode": (12, "i4"),
    "sizes": (40, "3f4"),
    "extended": (92, "i4"),
    "magic": (96, "i2"),
    "numbers": (128, "2i2"),
    "times": (180, "i2"),
    "order": (182, "i2"),
    "channels": (196, "i2"),
    "wavelengths": (198, "5i2"),
}
_HEADER = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for _, kind in _FIELDS.values()],
        "offsets": [offset for offset, _ in _FIELDS.values()],
        "itemsize": _START,
    }
)
_MAGIC = -16224
#: Data types of the voxels, by mode; a mode that is missing is a pair of integers.
_MODES = {0: "u1", 1: "i2", 2: "f4", 4: "c8", 5: "i2", 6: "u2", 7: "i4"}
#: Axes of the sections, slowest first, by their order in the header.
_ORDERS = {0: "ctz", 1: "tzc", 2: "tcz"}
#: Place of the time, in seconds, among the floats of a section in the extended header.
_TIME = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class DeltaVisionSource(MappedSource):
    """The image of a DeltaVision file, in either byte order; sizes are in micrometres."""

    suffixes = (".dv", ".r3d")
    takes = ()

    @classmethod
    def open(cls, path: str, layout: Layout) -> Self:
        check_file(path)
        with as_source_errors(path, "its header cannot be read"), open(path, "rb") as file:
            content = file.read(_START)
            if len(content) < _START:
                raise SourceError(f"{path}: cut short: its header has {_START} bytes")
            header, order = _header(path, content)
            sections, extended = int(header["lengths"][2]), int(header["extended"])
            times, channels = max(int(header["times"]), 1), max(int(header["channels"]), 1)
            if sections < 1 or sections % (times * channels) or extended < 0:
                raise SourceError(
                    f"{path}: its header contradicts itself: {sections} sections of {times} times "
                    f"and {channels} channels, after {extended} bytes"
                )
            step = _step(file, header, order, times)
        lengths = {"t": times, "c": channels, "z": sections // (times * channels)}
        axes = _ORDERS.get(int(header["order"]), _ORDERS[0])
        kept = "".join(axis for axis in axes if axis == "z" or lengths[axis] > 1)
        width, height = (int(length) for length in header["lengths"][:2])
        source = cls._open(
            path,
            axes=f"{kept}yx",
            shape=(*(lengths[axis] for axis in kept), height, width),
            dtype=np.dtype(order + _MODES[int(header["mode"])]),
            fortran=False,
            offset=_START + extended,
        )
        sizes = tuple(float(size) for size in header["sizes"][::-1])
        waves = [int(wave) for wave in header["wavelengths"][:channels]]
        known: dict[str, Any] = {}
        if all(map(is_plausible, sizes)):
            known |= {"voxel_size": sizes, "space_unit": "micrometer"}
        if is_plausible(step):
            known |= {"time_step": step, "time_unit": "second"}
        if len(waves) == channels and any(wave > 0 for wave in waves):
            known["channel_names"] = tuple(f"{wave} nm" if wave > 0 else "" for wave in waves)
        return replace(source, **known)


def _header(path: str, content: bytes) -> tuple[Any, str]:
    """The fields of the header, and the byte order of the file."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        header = np.frombuffer(content, _HEADER.newbyteorder(order))[0]
        if header["magic"] == _MAGIC:
            if int(header["mode"]) not in _MODES:
                raise SourceError(
                    f"{path}: its voxels have mode {header['mode']}, which is unknown"
                )
            return header, order
    raise SourceError(f"{path}: not a DeltaVision file")


def _step(file: Any, header: Any, order: str, times: int) -> float:
    """Time between volumes, in seconds, if they are even (within 1 %); else 0.

    A section has integers and floats in the extended header, which follows the header.
    """
    integers, floats = (int(number) for number in header["numbers"])
    size = 4 * (integers + floats)
    sections = int(header["lengths"][2])
    if times < 2 or integers < 0 or floats <= _TIME or header["extended"] < size * sections:
        return 0.0
    # The first sections of two times are neighbours if the channels vary slower than the times.
    axes = _ORDERS.get(int(header["order"]), _ORDERS[0])
    slower = int(header["channels"]) if axes.startswith("c") else 1
    stride = sections // times // max(slower, 1)
    found = []
    for time in range(times):
        file.seek(_START + size * stride * time + 4 * (integers + _TIME))
        found.append(np.frombuffer(file.read(4), f"{order}f4")[0])
    steps = np.diff(np.array(found, float))
    return float(steps.mean()) if np.ptp(steps) <= abs(steps.mean()) / 100 else 0.0
