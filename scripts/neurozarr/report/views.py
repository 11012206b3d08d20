"""How planes of a volume are drawn: which axis goes where, and letters at the edges.

Where the anatomy is known, planes are drawn in the neurological convention: the left of the picture
is the left of the subject, and anterior or superior is at the top. Otherwise, x is drawn to the
right and y or z down, as the voxels are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurozarr.axes import RAS, SPATIAL

#: Planes by the anatomical axis that is perpendicular to them.
_NAMES = {"x": "Sagittal", "y": "Coronal", "z": "Axial"}
#: The anatomical axis along which a direction of RFC-4 is, and whether it has the sense of RAS+.
_ALONG = {
    value: (axis, forward)
    for axis, sense in RAS.items()
    for value, forward in ((sense, True), ("-to-".join(sense.split("-to-")[::-1]), False))
}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two axes of a picture.

    Attributes
    ----------
    axis
        Index among z, y and x.
    flipped
        Whether it is drawn from its last voxel to its first.
    start, end
        Letters (L, R, P, A, I or S) of the left or upper, and of the right or lower edge; "" if
        unknown.
    """

    axis: int
    flipped: bool
    start: str
    end: str

    @property
    def name(self) -> str:
        """Name of the axis."""
        return SPATIAL[self.axis]


@dataclass(frozen=True, kw_only=True)
class View:
    """A family of parallel planes, and how they are drawn.

    Attributes
    ----------
    name
        Axial, coronal or sagittal, or the names of the axes, such as "xy plane".
    normal
        Index among z, y and x of the axis that is perpendicular to the planes.
    across, down
        The axes of the picture.
    """

    name: str
    normal: int
    across: Side
    down: Side

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Letters at the left, right, upper and lower edge; "" where unknown."""
        return self.across.start, self.across.end, self.down.start, self.down.end

    def draw(self, voxels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn a plane, whose last three axes are z, y and x, into a picture: (…, down, across)."""
        first = voxels.ndim - 3
        plane = np.squeeze(np.moveaxis(voxels, first + self.normal, -1), -1)
        if self.across.axis < self.down.axis:
            plane = plane.swapaxes(-1, -2)
        rows = slice(None, None, -1) if self.down.flipped else slice(None)
        columns = slice(None, None, -1) if self.across.flipped else slice(None)
        return plane[..., rows, columns]


def views(directions: Mapping[str, str], shape: Sequence[int]) -> list[View]:
    """The views of a volume: axial, coronal and sagittal first, where they are known.

    Parameters
    ----------
    directions
        Anatomical orientation of z, y and x: values of RFC-4; missing if unknown.
    shape
        Its shape along z, y and x. Views whose pictures would be a line are left out, unless there
        is no other.
    """
    made = [_view(normal, directions) for normal in range(3)]
    order = ["Axial", "Coronal", "Sagittal"]
    made.sort(key=lambda view: order.index(view.name) if view.name in order else len(order))
    flat = [view for view in made if min(shape[view.across.axis], shape[view.down.axis]) > 1]
    widest = max(made, key=lambda view: shape[view.across.axis] * shape[view.down.axis])
    return flat or [widest]


def _view(normal: int, directions: Mapping[str, str]) -> View:
    known = [_ALONG.get(directions.get(axis, ""), ("", True)) for axis in SPATIAL]
    across, down = (axis for axis in (2, 1, 0) if axis != normal)
    if known[across][0] and known[down][0]:
        # Right before anterior before superior: axial planes show x and y, sagittal ones y and z.
        if known[across][0] > known[down][0]:
            across, down = down, across
        right, up = known[across][1], known[down][1]
        flips = not right, up
    else:
        if normal == 2:  # Beside the xy plane, a picture of y and z shares its y.
            across, down = down, across
        flips = False, False
    name = f"{SPATIAL[across]}{SPATIAL[down]} plane"
    return View(
        name=_NAMES.get(known[normal][0], name),
        normal=normal,
        across=_side(across, directions, flipped=flips[0]),
        down=_side(down, directions, flipped=flips[1]),
    )


def _side(axis: int, directions: Mapping[str, str], *, flipped: bool) -> Side:
    value = directions.get(SPATIAL[axis], "")
    ends = [end[0].upper() for end in value.split("-to-")] if value in _ALONG else ["", ""]
    start, end = reversed(ends) if flipped else ends
    return Side(axis=axis, flipped=flipped, start=start, end=end)
