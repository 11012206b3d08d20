"""Writing OME-Zarr metadata, according to the specifications."""

import json

import pytest
import yaozarrs
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ome
from neurozarr.zarr.layout import pyramid_shapes


def multiscale(**arguments):
    defaults = {"axes": "zyx", "shapes": [(8, 8, 8), (4, 4, 4), (2, 2, 2)], "ome_version": "0.5"}
    return ome.attributes(**defaults | arguments)["ome"]["multiscales"][0]


def transforms(found):
    """Scale and translation of each level."""
    return [
        tuple(t[t["type"]] for t in dataset["coordinateTransformations"])
        for dataset in found["datasets"]
    ]


def test_scale_and_translation_double_with_each_level():
    assert transforms(multiscale(space_scale=[3, 2, 0.5])) == [
        ([3, 2, 0.5], [0, 0, 0]),
        ([6, 4, 1], [1.5, 1, 0.25]),
        ([12, 8, 2], [4.5, 3, 0.75]),
    ]


def test_axis_that_is_not_pooled_keeps_its_scale():
    shapes = [(8, 8, 8), (8, 4, 4), (8, 2, 2)]
    found = transforms(multiscale(shapes=shapes, no_pool=0))
    assert found[2] == ([1, 4, 4], [0, 1.5, 1.5])


def test_axis_of_length_1_keeps_its_scale():
    shapes = [(2, 8, 8), (1, 4, 4), (1, 2, 2)]
    found = transforms(multiscale(shapes=shapes))
    assert found[1] == ([2, 2, 2], [0.5, 0.5, 0.5])
    assert found[2] == ([2, 4, 4], [0.5, 1.5, 1.5])


def test_scale_does_not_depend_on_odd_lengths():
    assert transforms(multiscale(shapes=[(9, 9, 9), (4, 4, 4)])) == transforms(
        multiscale(shapes=[(8, 8, 8), (4, 4, 4)])
    )


def test_edges_or_centres_of_corner_voxels_can_be_aligned():
    shapes = [(9, 9, 9), (4, 4, 4)]
    assert transforms(multiscale(shapes=shapes, pyramid_aligns="edge"))[1] == (
        [2.25] * 3,
        [0.625] * 3,
    )
    assert transforms(multiscale(shapes=shapes, pyramid_aligns="center"))[1] == (
        [8 / 3] * 3,
        [0] * 3,
    )
    one = transforms(multiscale(shapes=[(2, 9, 9), (1, 4, 4)], pyramid_aligns="center"))[1]
    assert one == ([2, 8 / 3, 8 / 3], [0.5, 0, 0])


def test_downsampling_factor_can_be_given():
    assert transforms(multiscale(shapes=[(9, 9, 9), (3, 3, 3)], pyramid_aligns=3))[1] == (
        [3] * 3,
        [1] * 3,
    )


def test_axes_have_types_and_units():
    found = multiscale(axes="tczyx", shapes=[(2, 3, 8, 8, 8)], space_unit="mm", time_unit="ms")
    assert found["axes"] == [
        {"name": "t", "type": "time", "unit": "millisecond"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "millimeter"},
        {"name": "y", "type": "space", "unit": "millimeter"},
        {"name": "x", "type": "space", "unit": "millimeter"},
    ]
    assert "unit" not in multiscale(space_unit="")["axes"][0]


def test_time_scale_is_a_transformation_of_the_image():
    found = multiscale(axes="tzyx", shapes=[(5, 8, 8, 8)], time_scale=2.5)
    assert found["coordinateTransformations"] == [{"type": "scale", "scale": [2.5, 1, 1, 1]}]
    assert transforms(found)[0][0] == [1, 1, 1, 1]
    assert "coordinateTransformations" not in multiscale(time_scale=2.5)


def test_name_and_type_are_optional():
    found = multiscale(name="brain", multiscales_type="mean")
    assert (found["name"], found["type"]) == ("brain", "mean")
    assert not {"name", "type"} & multiscale().keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"axes": "xyz"}, "axes are .*; allowed: t, c, z, y, x in this order"),
        ({"axes": ["c", "t", "y"]}, "axes are"),
        ({"axes": "zzyx"}, "axes are"),
        ({"axes": "yx"}, r"a level has shape \(8, 8, 8\)"),
        ({"space_scale": [1, 2]}, r"space_scale is \[1, 2\]; allowed: one value, or one for each"),
        ({"pyramid_aligns": "middle"}, 'has \'middle\'; allowed: .*"edge" or "center"'),
        ({"pyramid_aligns": 0}, "has 0"),
        ({"no_pool": 3}, "no_pool is 3; allowed: None, or an index below 3"),
        ({"ome_version": "0.3"}, "ome_version is '0.3'"),
        ({"space_unit": "furlong"}, "'furlong' is no unit of space .*known: angstrom, attometer"),
    ],
    ids=str,
)
def test_wrong_argument_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        multiscale(**wrong)


@given(
    st.sampled_from(["zyx", "tzyx", "czyx", "tczyx", "yx"]),
    st.lists(st.integers(1, 500), min_size=3, max_size=3),
    st.sampled_from([2, "edge", "center"]),
    st.sampled_from(["", "micrometer", "angstrom"]),
    st.text(max_size=5),
)
def test_attributes_validate_against_the_schemas(axes, spatial, aligns, unit, name):
    ndim = 2 if axes == "yx" else 3
    shapes = [
        (*(3,) * (len(axes) - ndim), *shape)
        for shape in pyramid_shapes(spatial[:ndim], (64,) * ndim)
    ]
    for version in ("0.4", "0.5"):
        attributes = ome.attributes(
            axes=axes,
            shapes=shapes,
            space_unit=unit,
            name=name,
            pyramid_aligns=aligns,
            ome_version=version,
        )
        image = attributes if version == "0.4" else attributes["ome"]
        yaozarrs.validate_ome_json(json.dumps(image))
