"""Units of space and time."""

import pytest

from neurozarr import units


@pytest.mark.parametrize(
    ("written", "kind", "name"),
    [
        ("mm", "space", "millimeter"),
        ("um", "space", "micrometer"),
        ("µm", "space", "micrometer"),
        ("micron", "space", "micrometer"),
        ("nanometer", "space", "nanometer"),
        ("angstrom", "space", "angstrom"),
        ("m", "space", "meter"),
        ("ms", "time", "millisecond"),
        ("s", "time", "second"),
        ("min", "time", "minute"),
        ("Micron", "space", "micrometer"),
        ("microns", "space", "micrometer"),
        ("Micrometres", "space", "micrometer"),
        ("mic", "space", "micrometer"),
        ("UM", "space", "micrometer"),
        ("\u03bcm", "space", "micrometer"),
        ("A", "space", "angstrom"),
        ("\u00c5", "space", "angstrom"),
        ("\u212b", "space", "angstrom"),
        ("Mm", "space", "megameter"),
        (" cm ", "space", "centimeter"),
        ("in", "space", "inch"),
        ("Feet", "space", "foot"),
        ("\u00b5s", "time", "microsecond"),
        ("Secs", "time", "second"),
        ("hrs", "time", "hour"),
        ("d", "time", "day"),
    ],
)
def test_symbols_of_units_give_udunits_names(written, kind, name):
    assert units.ome_unit(written, kind) == name
    assert units.ome_unit(name, kind) == name


@pytest.mark.parametrize(
    ("unit", "kind"), [("second", "space"), ("mm", "time"), ("MM", "space"), ("a", "space")]
)
def test_unknown_unit_is_refused_with_the_known_ones(unit, kind):
    with pytest.raises(ValueError, match=f"'{unit}' is no unit of {kind}.*known: .*micro"):
        units.ome_unit(unit, kind)


def test_units_are_those_of_ome_zarr():
    assert len(set(units.NAMES["space"].values())) == 26
    assert len(set(units.NAMES["time"].values())) == 23
