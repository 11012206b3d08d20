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
    ],
)
def test_a_unit_has_its_udunits_name(written, kind, name):
    assert units.ome_unit(written, kind) == name
    assert units.ome_unit(name, kind) == name


@pytest.mark.parametrize(("unit", "kind"), [("second", "space"), ("mm", "time"), ("Mm ", "space")])
def test_an_unknown_unit_is_an_error_that_lists_the_known_ones(unit, kind):
    with pytest.raises(ValueError, match=f"'{unit}' is no unit of {kind}.*known: .*micro"):
        units.ome_unit(unit, kind)


def test_the_units_are_those_that_ome_zarr_lists():
    assert len(set(units.NAMES["space"].values())) == 26
    assert len(set(units.NAMES["time"].values())) == 23
