"""Writing OME-Zarr metadata, according to the specifications."""

import json

import pytest
import yaozarrs
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ome
from neurozarr.plan.pyramid import pyramid


def multiscale(shapes=((8, 8, 8), (4, 4, 4), (2, 2, 2)), pyramid_aligns=2, **arguments):
    aligns = ome.per_axis("pyramid_aligns", pyramid_aligns, 3)
    arguments["placements"] = ome.of_shapes([s[-3:] for s in shapes], aligns)
    return ome.attributes(**{"axes": "zyx", "ome_version": "0.5"} | arguments)["ome"][
        "multiscales"
    ][0]


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
    found = transforms(multiscale(shapes=shapes))
    assert found[2] == ([1, 4, 4], [0, 1.5, 1.5])


def test_axis_of_length_1_keeps_its_scale():
    shapes = [(2, 8, 8), (1, 4, 4), (1, 2, 2)]
    found = transforms(multiscale(shapes=shapes))
    assert found[1] == ([2, 2, 2], [0.5, 0.5, 0.5])
    assert found[2] == ([2, 4, 4], [0.5, 1.5, 1.5])


def test_factors_of_an_axis_add_up_only_where_it_is_downsampled():
    found = transforms(multiscale(shapes=[(8, 8, 8), (8, 4, 4), (4, 2, 2)]))
    assert found[2] == ([2, 4, 4], [0.5, 1.5, 1.5])


def test_voxels_that_are_copies_are_where_they_were_copied_from():
    found = transforms(multiscale(shapes=[(9, 9, 9), (5, 5, 5)], pyramid_aligns="first"))
    assert found[1] == ([2] * 3, [0] * 3)


def test_all_levels_start_at_the_position_of_level_0():
    found = transforms(multiscale(space_scale=[3, 2, 0.5], position=[-10, 0, 7.5]))
    assert [shift for _, shift in found] == [[-10, 0, 7.5], [-8.5, 1, 7.75], [-5.5, 3, 8.25]]


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


def test_time_step_is_in_the_scale_of_every_level():
    found = multiscale(axes="tzyx", shapes=[(5, 8, 8, 8), (5, 4, 4, 4)], time_scale=2.5)
    assert [scale for scale, _ in transforms(found)] == [[2.5, 1, 1, 1], [2.5, 2, 2, 2]]
    assert "coordinateTransformations" not in found


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
        ({"space_scale": [1, 2]}, r"space_scale is \[1, 2\]; allowed: one value, or one for each"),
        ({"position": [1, 2]}, r"position is \[1, 2\]; allowed: one value, or one for each"),
        ({"pyramid_aligns": "middle"}, 'has \'middle\'; allowed: .*"edge" or "center"'),
        ({"pyramid_aligns": 0}, "has 0"),
        ({"pyramid_aligns": 3}, "level 1 has length 4, and its parent level 8, .* factor of 3"),
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
    shapes = [step.shape for step in pyramid(spatial[:ndim], (64,) * ndim)]
    for version in ("0.4", "0.5"):
        attributes = ome.attributes(
            axes=axes,
            placements=ome.of_shapes(shapes, [aligns] * ndim),
            space_unit=unit,
            name=name,
            ome_version=version,
        )
        image = attributes if version == "0.4" else attributes["ome"]
        yaozarrs.validate_ome_json(json.dumps(image))
