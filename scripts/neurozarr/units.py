"""Units of space and time: UDUNITS-2 names, as OME-Zarr requires, and NIfTI codes."""

from __future__ import annotations

import math
import unicodedata
from fractions import Fraction

#: Name and power of ten of each SI prefix, by its symbol. OME-Zarr lists meter and second with all
#: of them.
_PREFIXES = {
    "Y": ("yotta", 24), "Z": ("zetta", 21), "E": ("exa", 18), "P": ("peta", 15), "T": ("tera", 12),
    "G": ("giga", 9), "M": ("mega", 6), "k": ("kilo", 3), "h": ("hecto", 2), "d": ("deci", -1),
    "c": ("centi", -2), "m": ("milli", -3), "u": ("micro", -6), "n": ("nano", -9),
    "p": ("pico", -12), "f": ("femto", -15), "a": ("atto", -18), "z": ("zepto", -21),
    "y": ("yocto", -24),
}  # fmt: skip


#: Spellings of units of each type other than their symbols with prefixes: by OME-Zarr's name, the
#: symbols of OME-XML (2016-06, UnitsLength and UnitsTime) and what programs write.
_OTHERS: dict[str, dict[str, tuple[str, ...]]] = {
    "space": {
        "micrometer": ("micron", "mic", "mu", "\u03bc"),
        "angstrom": ("\u00c5", "A", "ang", "\u00e5ngstr\u00f6m", "angstr\u00f6m"),
        "inch": ("in", "inches"),
        "foot": ("ft", "feet"),
        "yard": ("yd",),
        "mile": ("mi",),
        "parsec": ("pc",),
    },
    "time": {
        "second": ("sec",),
        "millisecond": ("msec",),
        "microsecond": ("usec", "\u03bcsec"),
        "nanosecond": ("nsec",),
        "minute": ("min",),
        "hour": ("h", "hr", "hrs"),
        "day": ("d",),
    },
}


def _names(kind: str) -> dict[str, str]:
    """Unit names that OME-Zarr lists for axes of a type, by their spellings."""
    base, symbol = {"space": ("meter", "m"), "time": ("second", "s")}[kind]
    names = {base: base, symbol: base}
    for short, (long, _) in _PREFIXES.items():
        names |= {short + symbol: long + base, long + base: long + base}
    names[f"\u03bc{symbol}"] = f"micro{base}"
    for name, others in _OTHERS[kind].items():
        names |= dict.fromkeys((name, *others), name)
    british = {old.replace("meter", "metre"): name for old, name in names.items()}
    # Of symbols, such as m, there is no plural.
    plural = {f"{old}s": name for old, name in (names | british).items() if len(old) > 2}
    return plural | british | names


#: Unit names that OME-Zarr lists for axes of each type (0.4 and 0.5, "axes" metadata), by their
#: symbols and other common names.
NAMES = {kind: _names(kind) for kind in ("space", "time")}


def _without_case(kind: str) -> dict[str, str]:
    """`NAMES` by spellings in lower case, without those of several units, such as mm and Mm."""
    found: dict[str, set[str]] = {}
    for spelling, name in NAMES[kind].items():
        if len(spelling) > 1:
            found.setdefault(spelling.casefold(), set()).add(name)
    return {spelling: min(names) for spelling, names in found.items() if len(names) == 1}


_WITHOUT_CASE = {kind: _without_case(kind) for kind in NAMES}

#: Size of each unit, in meters or seconds.
_SIZES = {
    **{
        prefix + unit: Fraction(10) ** power
        for prefix, power in [("", 0), *_PREFIXES.values()]
        for unit in ("meter", "second")
    },
    "angstrom": Fraction(1, 10**10),
    "inch": Fraction("0.0254"),
    "foot": Fraction("0.3048"),
    "yard": Fraction("0.9144"),
    "mile": Fraction("1609.344"),
    "parsec": Fraction(30_856_775_814_913_673),
    "minute": Fraction(60),
    "hour": Fraction(3_600),
    "day": Fraction(86_400),
}

#: Codes of all units that NIfTI has (``xyzt_units``; NIfTI-Zarr 1.0.rc1, table 4.3).
NIFTI_CODES = {
    "meter": 1,
    "millimeter": 2,
    "micrometer": 3,
    "second": 8,
    "millisecond": 16,
    "microsecond": 24,
}
NIFTI_NAMES = {code: name for name, code in NIFTI_CODES.items()}


def ome_unit(unit: str, kind: str) -> str:
    """The OME-Zarr name of a unit.

    Parameters
    ----------
    unit
        Its name or symbol in any usual spelling, such as "micrometer", "Microns" or "um"; in upper
        or lower case, unless that tells two units apart, as in "mm" and "Mm".
    kind
        "space" or "time".

    Raises
    ------
    ValueError
        The unit is unknown; the message lists the known ones.
    """
    if name := find_unit(unit, kind):
        return name
    raise ValueError(
        f"{unit!r} is no unit of {kind} in OME-Zarr; known: "
        + ", ".join(sorted(set(NAMES[kind].values())))
    )


def find_unit(unit: str, kind: str) -> str:
    """Like `ome_unit`, for what a file says: "" if the unit is unknown."""
    # The micro sign and the angstrom sign become the letters mu and A with ring.
    spelling = unicodedata.normalize("NFKC", unit).strip().rstrip(".")
    return NAMES[kind].get(spelling) or _WITHOUT_CASE[kind].get(spelling.casefold(), "")


def symbol(unit: str) -> str:
    """Symbol of a unit that OME-Zarr lists, such as mm; any other text as it is."""
    if unit.startswith("micro"):  # Of its spellings, the shortest is µ alone.
        return f"µ{symbol(unit.removeprefix('micro'))}"
    names = [name for kind in NAMES.values() for name, known in kind.items() if known == unit]
    return min(names, key=len, default=unit)


def factor(unit: str, to: str) -> float:
    """Factor that converts a length or a time from a unit to another; 1 if either is "".

    Both are UDUNITS names of space, or both of time.
    """
    return float(_SIZES[unit] / _SIZES[to]) if unit and to else 1.0


def nifti_unit(unit: str) -> str:
    """The NIfTI unit that is nearest in size to a UDUNITS unit; "" for ""."""
    if not unit or unit in NIFTI_CODES:
        return unit
    kind = "space" if unit in NAMES["space"].values() else "time"
    named = [name for name in NIFTI_CODES if name in NAMES[kind].values()]
    return min(named, key=lambda name: abs(math.log(factor(unit, name))))


#: Larger lengths and times, in any unit, come from damaged files: their products overflow.
MAX_LENGTH = 1e30


def is_plausible(size: float) -> bool:
    """Whether a voxel size or a time step is positive, finite and within `MAX_LENGTH`."""
    return bool(1 / MAX_LENGTH < size < MAX_LENGTH)
