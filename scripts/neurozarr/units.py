"""Units of space and time: UDUNITS-2 names, as OME-Zarr asks for, and the codes of NIfTI."""

from __future__ import annotations

#: Prefixes of SI units, by symbol. UDUNITS-2 has them all; OME-Zarr lists them with both units.
_PREFIXES = {
    "Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega",
    "k": "kilo", "h": "hecto", "d": "deci", "c": "centi", "m": "milli", "u": "micro", "n": "nano",
    "p": "pico", "f": "femto", "a": "atto", "z": "zepto", "y": "yocto",
}  # fmt: skip


def _with_prefixes(name: str, symbol: str) -> dict[str, str]:
    prefixed = {short + symbol: long + name for short, long in _PREFIXES.items()}
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
