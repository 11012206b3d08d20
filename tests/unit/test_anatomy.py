"""Orientation of axes and anatomical coordinates, compared with nibabel's affines."""

import itertools
import json
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
import referencing
import yaozarrs
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import nifti, ome
from neurozarr.axes import RAS
from neurozarr.nifti import anatomy
from neurozarr.plan.pyramid import pyramid

SCHEMAS = Path(__file__).parents[3] / "shared/schemas/ngff-0.6"
SHAPE = (20, 30, 40)
TILTED = nibabel.eulerangles.euler2mat(0.3, 0.2, 0.1)


def header(sform=None, qform=None, codes=(1, 1), unit="mm"):
    made = nibabel.Nifti1Header()
    made.set_data_shape(SHAPE)
    for name, affine, code in (("sform", sform, codes[0]), ("qform", qform, codes[1])):
        if affine is not None:
            getattr(made, f"set_{name}")(affine, 1)
            made[f"{name}_code"] = code
    made.set_xyzt_units(unit)
    return made.binaryblock


def affine(matrix=TILTED, sizes=(1.0, 2.0, 3.0), origin=(-10.0, 20.0, 5.0)):
    return nibabel.affines.from_matvec(np.asarray(matrix) * sizes, origin)


def names(raw):
    return [space.name for space in anatomy.spaces(raw)]


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, None), (1, "scanner"), (2, "aligned"), (3, "talairach"), (4, "mni"), (5, "template")],
)
def test_space_is_named_after_the_code_of_its_form(code, name):
    expected = [name] if name else []
    assert names(header(sform=affine(), codes=(code, 0))) == expected
    assert names(header(qform=affine(), codes=(0, code))) == expected
    assert names(header(sform=affine(), codes=(9, 0))) == []


def test_equal_forms_of_the_same_code_are_one_space():
    other = affine(origin=(0, 0, 0))
    assert names(header(affine(), affine())) == ["scanner"]
    assert names(header(affine(), other)) == ["scanner", "scanner-qform"]
    assert names(header(affine(), other, codes=(4, 1))) == ["mni", "scanner"]
    assert names(header(affine(), affine(), codes=(2, 1))) == ["aligned", "scanner"]
    first, second = anatomy.spaces(header(affine(), other, unit="micron"))
    np.testing.assert_allclose(first.affine, affine()[:3], rtol=1e-6)
    np.testing.assert_allclose(second.affine, other[:3], rtol=1e-5, atol=1e-5)
    assert first.unit == second.unit == "micrometer"


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4)), np.diag([1, 1, 0, 1]), np.full((4, 4), np.nan)]
)
def test_invalid_form_gives_no_space(wrong):
    made = nibabel.Nifti1Header()
    made.set_data_shape(SHAPE)
    made["sform_code"], made["qform_code"] = 1, 1
    made["quatern_b"] = 5
    for row, values in zip("xyz", wrong, strict=False):
        made[f"srow_{row}"] = values
    assert anatomy.spaces(made.binaryblock) == []
    assert anatomy.directions(made.binaryblock) == {}


@pytest.mark.parametrize("signs", [*itertools.product([1, -1], repeat=3)])
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_directions_of_aligned_axes_equal_those_of_nibabel(signs, order):
    matrix = np.zeros((3, 3))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[row, column] = sign
    words = {
        **{"R": "left-to-right", "L": "right-to-left"},
        **{"A": "posterior-to-anterior", "P": "anterior-to-posterior"},
        **{"S": "inferior-to-superior", "I": "superior-to-inferior"},
    }
    codes = nibabel.aff2axcodes(affine(matrix))
    expected = {axis: words[code] for axis, code in zip("xyz", codes, strict=True)}
    assert anatomy.directions(header(sform=affine(matrix))) == expected
    assert anatomy.directions(header(qform=affine(matrix), codes=(0, 1))) == expected


@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.sampled_from([1, -1]))
def test_directions_of_oblique_axes_are_the_nearest_up_to_45_degrees(angles, flip):
    rotation = nibabel.eulerangles.euler2mat(*angles) @ np.diag([flip, 1, 1])
    found = anatomy.directions(header(sform=affine(rotation)))
    nearest = np.abs(rotation).argmax(axis=0)
    for axis, row, column in zip("xyz", nearest, rotation.T, strict=True):
        if abs(column[row]) < np.sqrt(0.5) - 1e-3:
            assert axis not in found
        elif abs(column[row]) > np.sqrt(0.5) + 1e-3:
            start, end = RAS["xyz"[row]].split("-to-")[:: int(np.sign(column[row]))]
            assert found[axis] == f"{start}-to-{end}"


def test_unplaced_axes_have_no_direction():
    assert anatomy.directions(header(sform=affine(np.eye(3)), codes=(0, 0))) == {}


def test_sform_takes_precedence_over_qform():
    raw = header(sform=affine(np.diag([-1, 1, 1])), qform=affine(np.eye(3)))
    assert anatomy.directions(raw)["x"] == "right-to-left"


# In the metadata


def attributes(raw, axes="zyx", version="0.6", voxel_size=(3.0, 2.0, 1.0), time_scale=2.5):
    factors = [step.factors for step in pyramid(SHAPE[::-1], (16,) * 3)]
    return ome.attributes(
        axes=axes,
        placements=ome.of_factors(factors),
        space_scale=voxel_size,
        time_scale=time_scale,
        space_unit="millimeter",
        orientation=anatomy.directions(raw),
        spaces=anatomy.spaces(raw),
        name="brain",
        multiscales_type="mean",
        metadata={"method": "neurozarr.voxels.kernels.downsample"},
        ome_version=version,
    )


def validate(found):
    """Check against the schemas of 0.6 (of a release candidate), if they are available."""
    found = json.loads(json.dumps(found, allow_nan=False))
    if not SCHEMAS.exists():
        return
    found["ome"]["version"] = "0.6rc0"
    resources = [
        (schema["$id"], referencing.Resource.from_contents(schema))
        for schema in (json.loads(path.read_text()) for path in SCHEMAS.glob("*.schema"))
    ]
    registry = referencing.Registry().with_resources(resources)
    strict = json.loads((SCHEMAS / "strict_image.schema").read_text())
    jsonschema.Draft202012Validator(strict, registry=registry).validate(found)


def apply(transform, point):
    """Apply a transformation of 0.6 to a point."""
    match transform["type"]:
        case "scale":
            return point * transform["scale"]
        case "translation":
            return point + transform["translation"]
        case "affine":
            return np.asarray(transform["affine"]) @ [*point, 1]
        case "sequence":
            for step in transform["transformations"]:
                point = apply(step, point)
            return point


angles = st.floats(-3, 3)
sizes = st.tuples(*[st.floats(0.25, 8, width=32)] * 3)
forms = st.builds(
    lambda a, flip, size, origin: affine(
        nibabel.eulerangles.euler2mat(*a) @ np.diag([flip, 1, 1]), size, origin
    ),
    st.tuples(angles, angles, angles),
    st.sampled_from([1, -1]),
    sizes,
    st.tuples(*[st.floats(-500, 500, width=32)] * 3),
)


@given(forms, st.sampled_from(["zyx", "tzyx", "czyx", "tczyx"]), st.sampled_from([1, 2]))
def test_ome_transformations_equal_the_affine_of_nibabel(form, axes, code):
    voxel_size = nibabel.affines.voxel_sizes(form)[::-1]
    raw = header(sform=form, qform=form, codes=(code, 1))
    found = attributes(raw, axes, voxel_size=voxel_size)
    validate(found)
    image = found["ome"]["multiscales"][0]
    systems = {system["name"]: system["axes"] for system in image["coordinateSystems"]}
    rng = np.random.default_rng(0)
    for level, dataset in enumerate(image["datasets"]):
        (to_intrinsic,) = dataset["coordinateTransformations"]
        assert to_intrinsic["input"] == {"path": str(level)}
        voxel = rng.integers(0, 8, len(axes)).astype(float)
        scaled = apply(to_intrinsic, voxel)
        assert dict(zip(axes, scaled, strict=True)).get("t", 0) == (
            2.5 * voxel[0] if "t" in axes else 0
        )
        # The centre of 2**level voxels of level 0.
        base = (voxel[-3:] + 0.5) * 2**level - 0.5
        for transform in image["coordinateTransformations"]:
            assert transform["input"]["name"] == to_intrinsic["output"]["name"]
            world = apply(transform, scaled)
            np.testing.assert_allclose(world[:-3], scaled[:-3])
            kind = "qform" if transform["output"]["name"].startswith("scanner") else "sform"
            expected = nifti.affine(raw, kind) @ [*base[::-1], 1]
            np.testing.assert_allclose(world[-3:][::-1], expected[:3], rtol=1e-4, atol=1e-2)
            described = systems[transform["output"]["name"]]
            assert [axis["name"] for axis in described] == list(axes)
            assert [axis["orientation"]["value"] for axis in described[-3:]] == [
                "inferior-to-superior",
                "posterior-to-anterior",
                "left-to-right",
            ]


def test_image_without_forms_has_one_coordinate_system():
    found = attributes(header(codes=(0, 0)))
    validate(found)
    image = found["ome"]["multiscales"][0]
    assert [system["name"] for system in image["coordinateSystems"]] == ["intrinsic"]
    assert "coordinateTransformations" not in image
    assert image["datasets"][0]["coordinateTransformations"][0]["type"] == "scale"
    assert image["datasets"][1]["coordinateTransformations"][0]["type"] == "sequence"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_versions_before_0_6_have_directions_of_aligned_axes(version):
    raw = header(sform=affine(np.diag([-1, 1, 1])))
    found = attributes(raw, "tzyx", version)
    yaozarrs.validate_ome_json(json.dumps(found))
    axes = found.get("ome", found)["multiscales"][0]["axes"]
    assert [axis.get("orientation") for axis in axes] == [
        None,
        {"type": "anatomical", "value": "inferior-to-superior"},
        {"type": "anatomical", "value": "posterior-to-anterior"},
        {"type": "anatomical", "value": "right-to-left"},
    ]
    unplaced = attributes(header(sform=affine(), codes=(0, 0)), "tzyx", version)
    assert "orientation" not in json.dumps(unplaced)
