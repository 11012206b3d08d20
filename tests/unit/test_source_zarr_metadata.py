"""What Zarr, OME-Zarr and N5 sources say of positions, channels, labels and their images."""

import tempfile
import warnings
from pathlib import Path

import ngff_zarr
import nibabel
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.sources import open_source
from neurozarr.sources.base import Layout
from neurozarr.sources.zarr.store import ZarrSource

from .conversions import convert
from .families import assert_holds
from .test_source_zarr import add, image, save, save_n5

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it itself calls deprecated
    import ome_zarr.writer

VOXELS = np.arange(24, dtype="u2").reshape(2, 3, 4)
CYX = [
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space"},
    {"name": "x", "type": "space"},
]
#: Sizes of units in meters, by SI Brochure 9, table 7, and the international yard and pound
#: agreement of 1959.
METERS = {"nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "inch": 0.0254}


def channels(*described, voxels=None, **options):
    """What a source says of the channels that "omero" metadata describe, each a slice."""
    with tempfile.TemporaryDirectory() as name:
        voxels = np.zeros((len(described), 3, 4), "u2") if voxels is None else voxels
        extra = {"omero": {"channels": list(described)}}
        return open_source(image(Path(name) / "a", axes=CYX, voxels=voxels, extra=extra, **options))


# Position


@st.composite
def grids(draw):
    """Axes in stored order, and for each a scale, a translation and a unit."""
    others = draw(st.sets(st.sampled_from("tcz")))
    axes = [axis for axis in "tczyx" if axis in others | {"y", "x"}]
    sizes = st.floats(1e-3, 1e3)
    return {
        axis: (draw(sizes), draw(st.floats(-1e4, 1e4)), draw(st.sampled_from(sorted(METERS))))
        for axis in axes
    }


@settings(max_examples=15)
@given(grids(), st.sampled_from(["0.4", "0.5"]))
def test_sizes_and_positions_have_one_unit(grid, version):
    kinds = {"t": "time", "c": "channel"}
    axes = [
        {"name": axis, "type": kinds.get(axis, "space")} | ({"unit": unit} if axis in "zyx" else {})
        for axis, (*_, unit) in grid.items()
    ]
    steps = [
        {"type": "scale", "scale": [size for size, *_ in grid.values()]},
        {"type": "translation", "translation": [place for _, place, _ in grid.values()]},
    ]
    with tempfile.TemporaryDirectory() as name:
        path = image(
            Path(name) / "a",
            version,
            axes=axes,
            datasets=[{"path": "0", "coordinateTransformations": steps}],
            voxels=np.zeros((1,) * len(axes), "u1"),
        )
        source = open_source(path)
    assert source.space_unit == grid["x"][2]
    meters = METERS[source.space_unit]
    said = [grid.get(axis, (meters / METERS["inch"], 0, "inch")) for axis in "zyx"]
    sizes, places, names = zip(*said, strict=True)
    known = [METERS[name] for name in names]
    np.testing.assert_allclose(np.multiply(source.voxel_size, meters), np.multiply(sizes, known))
    found = source.position or (0, 0, 0)
    np.testing.assert_allclose(np.multiply(found, meters), np.multiply(places, known), atol=1e-15)
    assert source.time_step == (grid["t"][0] if "t" in grid else 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_translation_of_ngff_zarr_is_the_position(tmp_path, version):
    made = ngff_zarr.to_ngff_image(
        VOXELS,
        dims=("z", "y", "x"),
        scale={"z": 3.0, "y": 2.0, "x": 1.0},
        translation={"z": -30.0, "y": 20.5, "x": 0.0},
        axes_units=dict.fromkeys("zyx", "micrometer"),
    )
    levels = ngff_zarr.to_multiscales(made, scale_factors=[], chunks=16)
    ngff_zarr.to_ngff_zarr(str(tmp_path / "a.zarr"), levels, version=version)
    source = open_source(tmp_path / "a.zarr")
    assert (source.position, source.space_unit) == ((-30, 20.5, 0), "micrometer")
    assert source.affine is None


def test_a_level_has_its_own_position(tmp_path):
    nibabel.Nifti1Image(np.zeros((8, 8, 8), "u1"), np.diag([1, 1.25, 1.5, 1])).to_filename(
        tmp_path / "a.nii"
    )
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", {"zarr": {"chunk": 4}})
    assert open_source(store).position == ()
    assert open_source(store / "1").position == (0.75, 0.625, 0.5)


def test_positions_that_cannot_be_are_ignored(tmp_path, caplog):
    steps = [
        {"type": "scale", "scale": [1, 2, 3]},
        {"type": "translation", "translation": [0, None, 1]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    source = open_source(image(tmp_path / "a", datasets=datasets))
    assert (source.voxel_size, source.position) == ((1, 2, 3), ())
    assert "the position is [0.0, nan, 1.0]; it is ignored" in caplog.text


@pytest.mark.parametrize("ordering", ["C", "F"])
def test_n5_translates(tmp_path, ordering):
    step = {"C": 1, "F": -1}[ordering]
    transform = {
        "axes": [*"zyx"][::step],
        "scale": [3, 2, 1][::step],
        "units": ["um", "um", "nm"][::step],
        "translate": [-30, 20, 10][::step],
        "ordering": ordering,
    }
    source = open_source(save_n5(tmp_path / "a.n5", transform=transform))
    assert source.file_axes == "zyx"
    assert source.space_unit == "nanometer"
    assert source.voxel_size == pytest.approx((3000, 2000, 1))
    assert source.position == pytest.approx((-30000, 20000, 10))


def test_an_unknown_unit_is_taken_for_that_of_the_others(tmp_path, caplog):
    axes = [
        {"name": name, "type": "space", "unit": unit}
        for name, unit in zip("zyx", ("millimeter", "micrometer", "furlong"), strict=True)
    ]
    steps = [{"type": "scale", "scale": [2, 3, 4]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    source = open_source(image(tmp_path / "a", axes=axes, datasets=datasets))
    assert (source.voxel_size, source.space_unit) == ((2000, 3, 4), "micrometer")
    assert "the unit of x, 'furlong', is unknown; it is taken for micrometer" in caplog.text


@pytest.mark.parametrize(
    ("axes", "size", "position", "step"),
    [
        (None, (3, 2, 1), (30, 20, 10), 9),
        ("txyz", (1, 2, 3), (10, 20, 30), 9),
        ("tcyx", (1, 2, 1), (0, 20, 10), 9),
        ("ztyx", (1, 2, 1), (0, 20, 10), 1),
    ],
)
def test_sizes_belong_to_dimensions_whatever_their_letters(tmp_path, axes, size, position, step):
    """But not to dimensions of another type, whose size says nothing."""
    kinds = {"t": ("time", "second")}
    named = [
        {"name": name, "type": kind, "unit": unit}
        for name in "tzyx"
        for kind, unit in [kinds.get(name, ("space", "micrometer"))]
    ]
    steps = [
        {"type": "scale", "scale": [9, 3, 2, 1]},
        {"type": "translation", "translation": [90, 30, 20, 10]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    path = image(tmp_path / "a", axes=named, datasets=datasets, voxels=VOXELS[None])
    source = open_source(path, axes=axes)
    assert source.file_axes == (axes or "tzyx")
    assert (source.voxel_size, source.position, source.time_step) == (size, position, step)
    assert source.space_unit == "micrometer"


def test_axes_of_a_wrong_number_can_be_replaced(tmp_path, caplog):
    path = image(tmp_path / "a", voxels=VOXELS, axes=[{"name": "y"}, {"name": "x"}])
    with pytest.raises(SourceError, match="the image has 2 axes, but the array has 3 dimensions"):
        open_source(path)
    assert_holds(open_source(path, axes="zyx"), VOXELS)
    assert "a/0: the image has another number of axes, which are ignored" in caplog.text


def test_axes_that_a_user_gives_keep_the_anatomy_of_dimensions(tmp_path):
    affine = np.array([[0, 0, -3, 7], [2, 0, 0, 8], [0, 1, 0, 9], [0, 0, 0, 1.0]])
    nibabel.Nifti1Image(VOXELS.T, affine).to_filename(tmp_path / "a.nii")
    config = {"ome": {"ome_version": "0.6"}, "nifti": {"nii": False}}
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", config)
    known = open_source(store)
    source = open_source(store, axes="xyz")
    np.testing.assert_allclose(known.affine, affine)
    np.testing.assert_allclose(source.affine[:, [2, 1, 0, 3]], affine)
    assert_holds(source, VOXELS.T)


def test_arrays_and_n5_of_ilastik_have_sizes(tmp_path):
    tags = {"axes": [{"key": "zyx"[3 - size], "resolution": size} for size in (3, 2, 1)]}
    said = {"axistags": tags, "axis_units": {"z": "um", "y": "um", "x": "um"}}
    path = save(tmp_path / "a.zarr", VOXELS, VOXELS.shape, attributes=said)
    for found in (path, save_n5(tmp_path / "a.n5", VOXELS, axes="xyz", **said)):
        source = open_source(found)
        assert (source.file_axes, source.voxel_size) == ("zyx", (3, 2, 1))
        assert source.space_unit == "micrometer"


# Channels


def test_channels_may_be_described_in_part():
    source = channels(
        {"label": "DAPI", "active": False},
        {"color": "00ff00", "window": {"start": 10, "end": 200, "min": 0, "max": 999}},
        {},
    )
    assert source.channel_names == ("DAPI", "", "")
    assert source.channel_colors == ("", "00ff00", "")
    assert source.channel_windows == (None, (10, 200), None)
    assert all(type(end) is int for end in source.channel_windows[1])
    assert source.channel_active == (False, True, True)
    source = channels({"label": "first"}, voxels=VOXELS)
    assert source.channel_names == ("first", "")


def test_more_channels_than_there_are_mean_none(caplog):
    source = channels({"label": "a"}, {"label": "b"}, {"label": "c"}, voxels=VOXELS)
    assert source.channel_names == source.channel_windows == source.channel_active == ()
    assert "it has 2 channels, but the metadata describe 3; these are ignored" in caplog.text


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#F0a", "FF00aa"),
        ("F0a8", "FF00aa"),
        ("#12aBcD", "12aBcD"),
        ("12aBcD80", "12aBcD"),
        ("red", ""),
        ("12345", ""),
        (None, ""),
        (16711680, ""),
    ],
)
def test_colours_of_all_spellings_are_read(text, colour):
    assert channels({"color": text, "label": "a"}).channel_colors == ((colour,) if colour else ())


@pytest.mark.parametrize(
    ("dtype", "start", "end", "is_kept"),
    [
        ("u1", 0, 255, True),
        ("u1", -10, 300, True),
        ("u1", 255, 300, False),
        ("u2", 0.5, 9.25, True),
        ("i2", -500, -100, True),
        ("u2", -500, 0, False),
        ("f4", -0.5, 1e9, True),
        ("?", 0, 1, True),
        ("f4", 1, 1, False),
        ("f4", 2, 1, False),
        ("f4", None, 1, False),
        ("f4", "0", "1", False),
        ("f4", False, True, False),
        ("f4", float("nan"), 1, False),
        ("f4", 0, float("inf"), False),
    ],
)
def test_windows_are_kept_if_a_voxel_can_be_in_them(dtype, start, end, is_kept):
    window = {"start": start, "end": end}
    found = channels({"window": window}, voxels=np.zeros((1, 3, 4), dtype)).channel_windows
    assert found == (((start, end),) if is_kept else ())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_windows_states_and_names_reach_the_store(tmp_path, version):
    described = [
        {"label": "DAPI", "active": False, "window": {"start": 5, "end": 7}},
        {"color": "00F"},
    ]
    extra = {"omero": {"channels": described}}
    image(tmp_path / "a.zarr", version, axes=CYX, voxels=VOXELS, extra=extra)
    store, _ = convert(tmp_path / "a.zarr", tmp_path / "1", {"nifti": {"nii": False}})
    first, second = zarr.open_group(store, mode="r").attrs["ome"]["omero"]["channels"]
    assert first["label"] == "DAPI"
    assert (first["active"], second["active"]) == (False, True)
    assert first["window"] == {"min": 0, "max": 23, "start": 5, "end": 7}
    assert second["color"] == "0000FF"
    assert {"min", "max", "start", "end"} == second["window"].keys()


# Labels


def test_labels_of_ome_zarr_py_are_labels_with_details(tmp_path):
    colors = [{"label-value": 1, "rgba": [255, 0, 0, 255]}]
    details = {"colors": colors, "properties": [{"label-value": 1, "class": "cell"}]}
    path = image(tmp_path / "a.zarr", "0.5", voxels=VOXELS)
    ome_zarr.writer.write_labels(
        VOXELS % 3,
        zarr.open_group(path),
        name="nuclei",
        axes="zyx",
        scale_factors=[],
        scaler=None,
        label_metadata=details,
    )
    assert open_source(path).labels is None
    for source in (
        open_source(path, dataset="labels/nuclei"),
        open_source(path / "labels"),
        open_source(path / "labels/nuclei"),
        open_source(path / "labels/nuclei/s0"),
    ):
        assert {name: source.labels[name] for name in details} == details
        assert_holds(source, VOXELS % 3)


def test_integers_in_a_group_of_labels_are_labels(tmp_path):
    root = tmp_path / "a.zarr"
    zarr.create_group(root)
    zarr.create_group(root / "labels")
    image(root / "labels/ids", voxels=VOXELS)
    image(root / "labels/probabilities", voxels=VOXELS.astype("f4"))
    save(root / "labels/deeper/array", VOXELS, VOXELS.shape)
    save(root / "raw", VOXELS, VOXELS.shape)
    names = ("labels/ids", "labels/probabilities", "labels/deeper/array", "raw")
    expected = [{}, None, {}, None]
    assert [open_source(root, dataset=name).labels for name in names] == expected
    assert open_source(root / "labels/ids").labels == {}
    # A directory that is not a group says nothing.
    image(tmp_path / "labels/b.zarr", voxels=VOXELS)
    assert open_source(tmp_path / "labels/b.zarr").labels is None
    save_n5(tmp_path / "c.n5/volumes/labels/s0", VOXELS)
    assert open_source(add(tmp_path / "c.n5", n5="2.5.1")).labels == {}


@pytest.mark.parametrize("code", ["label", "neuroname", "z score"])
def test_the_intent_of_nifti_says_whether_voxels_are_labels(tmp_path, code):
    made = nibabel.Nifti1Image(VOXELS, np.eye(4))
    made.header.set_intent(code)
    made.to_filename(tmp_path / "a.nii")
    expected = None if code == "z score" else {}
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", {"pyramid": {"levels": 0}})
    for path in (tmp_path / "a.nii", store):
        assert open_source(path).labels == expected


# All images of a store


def listed(path):
    return ZarrSource.images(str(path), Layout())


OME_XML = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Plate><Image Name="no image"/></Plate>'
    '<Image ID="Image:0" Name="Pos 1"/><Image ID="Image:1"/></OME>'
)


def test_images_of_a_collection_have_the_names_of_their_ome_xml(tmp_path, caplog):
    root = tmp_path / "a.zarr"
    zarr.create_group(root, attributes={"ome": {"bioformats2raw.layout": 3}})
    for name in "01":
        image(root / name, voxels=VOXELS)
    assert listed(root) == [("0", "0"), ("1", "1")]
    zarr.create_group(root / "OME", attributes={"ome": {"series": ["1", "0"]}})
    (root / "OME/METADATA.ome.xml").write_text(OME_XML)
    assert listed(root) == [("1", "Pos 1"), ("0", "0")]
    (root / "OME/METADATA.ome.xml").write_text(OME_XML[:-9])
    assert listed(root) == [("1", "1"), ("0", "0")]
    assert "METADATA.ome.xml: names are ignored (unclosed token" in caplog.text
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "lol">{entities}]><OME><Image Name="&e9;"/></OME>'
    (root / "OME/METADATA.ome.xml").write_text(bomb)
    assert listed(root) == [("1", "1"), ("0", "0")]
    assert "names are ignored (limit on input amplification" in caplog.text


def test_images_of_plates_stores_and_n5_are_listed(tmp_path, caplog):
    plate = tmp_path / "plate.zarr"
    group = zarr.create_group(plate, attributes={"ome": {"bioformats2raw.layout": 3}})
    ome_zarr.writer.write_plate_metadata(group, ["A", "B", "C"], ["1"], ["A/1", "B/1", "C/1"])
    for name in ("A/1", "B/1"):
        zarr.create_group(plate / name, attributes={"ome": {"well": {"images": [{"path": "0"}]}}})
        image(plate / name / "0", voxels=VOXELS)
    assert listed(plate) == [("A/1/0", "A/1/0"), ("B/1/0", "B/1/0")]
    assert "plate.zarr: its metadata list 'C/1', which is missing" in caplog.text
    single = image(tmp_path / "b.zarr", voxels=VOXELS)
    zarr.create_group(single / "labels", attributes={"ome": {"labels": ["nuclei"]}})
    image(single / "labels/nuclei", voxels=VOXELS)
    ((dataset, name),) = listed(single)
    assert name == "0"
    assert_holds(open_source(single, dataset=dataset), VOXELS)
    assert listed(single / "labels") == [("nuclei", "nuclei")]
    root = add(tmp_path / "a.n5", n5="2.5.1")
    for setup in (0, 1):
        save_n5(root / f"setup{setup}/s0", VOXELS)
        save_n5(root / f"setup{setup}/s1", VOXELS)
    assert [dataset for dataset, _ in listed(root)] == ["setup0/s0", "setup1/s0"]


def test_arrays_that_are_no_images_are_not_listed(tmp_path):
    root = tmp_path / "a.zarr"
    zarr.create_group(root, zarr_format=2)
    arrays = {
        "raw": VOXELS,
        "table": np.zeros(5),
        "row": np.zeros((1, 5)),
        "words": np.zeros((2, 3), "S5"),
        "records": np.zeros((2, 3), [("a", "u1")]),
    }
    for name, array in arrays.items():
        save(root / name, array, array.shape, zarr_format=2)
    assert listed(root) == [("raw", "raw")]
    for name in ("raw", "table"):
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=r"table: neither Zarr nor N5"):
        listed(tmp_path / "table")
    zarr.create_group(tmp_path / "b.zarr")
    with pytest.raises(SourceError, match=r"b\.zarr: no array or image found in it"):
        listed(tmp_path / "b.zarr")
