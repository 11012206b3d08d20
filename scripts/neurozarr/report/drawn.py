"""Pictures, with what is drawn over them and said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurozarr.report.image import Level


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A rectangle in a picture, around what another one shows; in percent of width and height."""

    text: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture with what is drawn over it.

    Attributes
    ----------
    source
        A URI that contains it.
    title, text
        The line below it, and a description for those who do not see it.
    width, height
        What it shows, in the unit of the image.
    is_coarse
        Whether its voxels are shown without smoothing.
    letters
        Letters at the left, right, upper and lower edge.
    bar, bar_text
        Length of the scale bar, in percent of the width, and as text; 0 for no bar.
    frames
        Rectangles.
    """

    source: str
    title: str
    text: str
    width: float
    height: float
    is_coarse: bool
    letters: tuple[str, str, str, str] = ("", "", "", "")
    bar: float = 0.0
    bar_text: str = ""
    frames: Sequence[Frame] = ()


@dataclass(frozen=True, kw_only=True)
class LevelFigures:
    """The planes of a level.

    Attributes
    ----------
    level
        The level.
    planes
        Its pictures, one for each view.
    is_whole
        Whether they show whole planes.
    omitted
        Why there is no picture; "" if there is.
    """

    level: Level
    planes: Sequence[Drawn]
    is_whole: bool
    omitted: str = ""
