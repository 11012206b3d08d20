"""Reading OME-Zarr metadata of all versions."""

import numpy as np
import pytest

from neurozarr import ome
from neurozarr.axes import Space
from neurozarr.ome import reading

PATHS = {"datasets": [{"path": "0"}]}
RAS = [
    {"name": axis, "type": "space", "unit": "millimeter"}
    | {"orientation": {"type": "anatomical", "value": way}}
    for axis, way in reading.RAS.items()
]


def scaled(*steps, **more):
    """An image of one level with transformations; a list is a scale."""
    steps = [step if isinstance(step, dict) else {"type": "scale", "scale": step} for step in steps]
    return {"datasets": [{"path": "0", "coordinateTransformations": steps}]} | more


@pytest.mark.parametrize(
    ("image", "axes", "types"),
    [
        (PATHS, "tczyx", ("time", "channel", "space", "space", "space")),
        (PATHS | {"axes": ["c", "y", "x"]}, "cyx", ("channel", "space", "space")),
        (PATHS | {"axes": [{"name": "Time"}, {"name": "Y"}]}, "ty", ("time", "space")),
        (PATHS | {"axes": [{"name": "a", "type": "channel"}, {"name": "z"}]}, "cz", None),
        (
            PATHS | {"axes": [{"name": "a", "type": "angle"}, {"name": "z"}]},
            None,
            ("angle", "space"),
        ),
    ],
)
def test_axes_of_all_versions_are_read(image, axes, types):
    grid = reading.grid_of(image, 0)
    assert grid.axes == axes
    assert grid.types == (types or grid.types)
    assert (grid.scale, grid.shift, grid.unknown, grid.affines) == (None, (), "", ())


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_written_metadata_can_be_read(version):
    attributes = ome.attributes(
        axes="tczyx",
        placements=ome.of_factors([[1, 1, 1], [1, 2, 2]]),
        space_scale=[3, 2, 0.5],
        position=[-10, 0, 8],
        time_scale=2.5,
        space_unit="mm",
        orientation={"z": "inferior-to-superior"},
        spaces=[Space("scanner", ((1, 0, 0, 5), (0, 2, 0, 6), (0, 0, 3, 7)), "millimeter")],
        ome_version=version,
    )
    assert reading.version_of(attributes) == version
    image = reading.image_of(attributes)
    assert [reading.path_of(image, level) for level in reading.levels_of(image)] == [*"01"]
    grid = reading.grid_of(image, 1)
    assert (grid.axes, grid.scale, grid.shift) == ("tczyx", (2.5, 1, 3, 4, 1), (0, 0, -10, 1, 8.25))
    assert grid.units == ("second", "", *["millimeter"] * 3)
    assert grid.directions == ("", "", "inferior-to-superior", "", "")
    assert reading.placement(image, 0, "tczyx") == ([1, 1, 1], [0, 0, 0])
    assert reading.placement(image, 1, "tczyx") == ([1, 2, 2], [0, 0.5, 0.5])
    if version == "0.6":
        ((matrix, unit),) = grid.affines
        assert (matrix[0], matrix[2], unit) == (
            [0, 0, 0, 0, 2, 5 - 2 * 8],
            [0, 0, 1, 0, 0, 7 + 10],
            "millimeter",
        )
    else:
        assert not grid.affines


def test_transformations_are_composed_in_order():
    moved = {"type": "translation", "translation": [1.0, 2.0]}
    both = {"type": "sequence", "transformations": [moved, {"type": "scale", "scale": [10, 10]}]}
    image = scaled([2, 3], both, {"type": "identity"}, axes=["y", "x"])
    grid = reading.grid_of(image, 0)
    assert (grid.scale, grid.shift) == ((20, 30), (10, 20))
    grid = reading.grid_of(scaled([2], [None, 3], axes=["y", "x"]), 0)
    np.testing.assert_array_equal(grid.scale, (np.nan, 6))
    with pytest.raises(ValueError, match=r"\[1, 2, 3\] are not 2 numbers"):
        reading.grid_of(scaled([1, 2, 3], axes=["y", "x"]), 0)
    grid = reading.grid_of(scaled([2, 3], {"type": "rotation"}, axes=["y", "x"]), 0)
    assert (grid.scale, grid.shift, grid.unknown) == (None, (), "rotation")


def test_level_has_the_axes_of_its_coordinate_system():
    steps = {"type": "scale", "scale": [1, 2, 3], "output": "body"}
    systems = [{"name": "other", "axes": RAS[1:]}, {"name": "body", "axes": RAS}]
    affine = {"type": "affine", "affine": [[1], [2], [3]], "input": "body", "output": "body"}
    more = {"coordinateSystems": systems, "coordinateTransformations": [affine]}
    grid = reading.grid_of(scaled(steps, **more), 0)
    assert (grid.axes, grid.scale) == ("zyx", (1, 2, 3))
    assert grid.affines == (([[3], [2], [1]], "millimeter"),)
    grid = reading.grid_of(PATHS | more, 0)
    assert (grid.axes, grid.scale, grid.affines) == ("yx", None, ())


@pytest.mark.parametrize(
    ("step", "scale", "shift"),
    [
        ({"type": "translation", "translation": [30, 20, 10]}, (1, 1, 1), (30, 20, 10)),
        ({"type": "identity"}, (1, 1, 1), (0, 0, 0)),
        ({"type": "mapAxis", "mapAxis": [1, 0, 2]}, None, ()),
    ],
)
def test_a_transformation_without_a_scale_has_one_from_0_6_on(step, scale, shift):
    grid = reading.grid_of(scaled(step, coordinateSystems=[{"name": "body", "axes": RAS}]), 0)
    assert (grid.scale, grid.shift) == (scale, shift)
    grid = reading.grid_of(scaled(step, axes=[*"zyx"]), 0)
    assert grid.scale is None


@pytest.mark.parametrize("key", [None, "ome"])
def test_members_of_groups_are_found(key):
    def within(**said):
        return {key: said} if key else said

    assert reading.members_of(within(plate={"wells": [{"path": "A/1"}]})) == ["A/1"]
    assert reading.members_of(within(well={"images": [{"path": "0"}]})) == ["0"]
    assert reading.members_of(within(labels=["nuclei"])) == ["nuclei"]
    assert reading.members_of(within()) is None
    assert reading.is_series(within(**{"bioformats2raw.layout": 3}))
    assert not reading.is_series(within())
    assert reading.series_of(within(series=["1"])) == ["1"]
    assert reading.channels_of(within(omero=None)) == reading.series_of(within()) == []
    assert reading.images_of(within()) == []
    with pytest.raises(KeyError):
        reading.image_of(within())
