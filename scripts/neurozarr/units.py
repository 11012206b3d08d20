"""Units of space and time: UDUNITS-2 names, as OME-Zarr asks for, and the codes of NIfTI."""

from __future__ import annotations

import math
from fractions import Fraction

#: Prefixes of SI units, by symbol, with their powers of ten. UDUNITS-2 has them all; OME-Zarr lists
#: them with both units.
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


#: Unit names that OME-Zarr lists for axes of each type (0.4 and 0.5, "axes" metadata), by the
#: symbols and other names that people write for them.
NAMES: dict[str, dict[str, str]] = {
    "space": _with_prefixes("meter", "m")
    | {"µm": "micrometer", "μm": "micrometer", "micron": "micrometer"}
    | {name: name for name in ("angstrom", "foot", "inch", "mile", "parsec", "yard")},
    "time": _with_prefixes("second", "s")
    | {"µs": "microsecond", "μs": "microsecond", "sec": "second", "msec": "millisecond"}
    | {"usec": "microsecond", "min": "minute", "h": "hour"}
    | {name: name for name in ("minute", "hour", "day")},
}

#: How many meters, or seconds, a unit is.
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

#: NIfTI codes (``xyzt_units``; NIfTI-Zarr 1.0.rc1, table 4.3) of the units that it can name.
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
    """The name that OME-Zarr has for a unit of ``kind`` "space" or "time".

    Raises
    ------
    ValueError
        The unit is unknown; the message lists the known ones.
    """
    known = NAMES[kind]
    name = known.get(unit, unit)
    if name not in known.values():
        raise ValueError(
            f"{unit!r} is no unit of {kind} that OME-Zarr knows; known: "
            + ", ".join(sorted(set(known.values())))
        )
    return name


def factor(unit: str, to: str) -> float:
    """How many of one unit another is, both UDUNITS names; 1 where either is "", unknown."""
    return float(_SIZES[unit] / _SIZES[to]) if unit and to else 1.0


def nifti_unit(unit: str) -> str:
    """The unit that NIfTI has which is nearest in size to one of space or time; "" for ""."""
    if not unit or unit in NIFTI_CODES:
        return unit
    kind = "space" if unit in NAMES["space"].values() else "time"
    named = [name for name in NIFTI_CODES if name in NAMES[kind].values()]
    return min(named, key=lambda name: abs(math.log(factor(unit, name))))


#: Lengths and times beyond this, in any unit, are damage: their products overflow.
MAX_LENGTH = 1e30


def is_plausible(size: float) -> bool:
    """Whether a voxel size or a time step can be one: positive, finite, and not of damage."""
    return bool(1 / MAX_LENGTH < size < MAX_LENGTH)
