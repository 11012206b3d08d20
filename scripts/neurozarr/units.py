"""Units of space and time: UDUNITS-2 names, as OME-Zarr requires, and NIfTI codes."""

from __future__ import annotations

import math
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


def _with_prefixes(name: str, symbol: str) -> dict[str, str]:
    prefixed = {short + symbol: long + name for short, (long, _) in _PREFIXES.items()}
    return {symbol: name} | prefixed


#: Unit names that OME-Zarr lists for axes of each type (0.4 and 0.5, "axes" metadata), by their
#: symbols and other common names.
NAMES: dict[str, dict[str, str]] = {
    "space": _with_prefixes("meter", "m")
    | {"µm": "micrometer", "μm": "micrometer", "micron": "micrometer"}
    | {name: name for name in ("angstrom", "foot", "inch", "mile", "parsec", "yard")},
    "time": _with_prefixes("second", "s")
    | {"µs": "microsecond", "μs": "microsecond", "sec": "second", "msec": "millisecond"}
    | {"usec": "microsecond", "min": "minute", "h": "hour"}
    | {name: name for name in ("minute", "hour", "day")},
}

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
        Its name or symbol, such as "micrometer", "micron" or "um".
    kind
        "space" or "time".

    Raises
    ------
    ValueError
        The unit is unknown; the message lists the known ones.
    """
    known = NAMES[kind]
    name = known.get(unit, unit)
    if name not in known.values():
        raise ValueError(
            f"{unit!r} is no unit of {kind} in OME-Zarr; known: "
            + ", ".join(sorted(set(known.values())))
        )
    return name


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
