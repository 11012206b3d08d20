"""Images whose voxels are labels: how they are found, downsampled, described and verified."""

import gzip
import json
import logging
import struct

import nibabel
import numpy as np
import ome_zarr_models
import pytest
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr import ome
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample

from .conversions import convert

DETAILS = {
    "version": "0.3",
    "source": {"image": "../../../elsewhere"},
    "colors": [{"label-value": 7, "rgba": [255, 0, 0, 128]}],
    "properties": [{"label-value": 7, "name": "hippocampus", "area": 1.5}],
    "more": [1],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 300) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=9,
)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"label-value": JSON, "rgba": JSON | st.lists(st.integers(0, 255)), "x": JSON}
)


def volume(folder, name, dtype="u2", length=24):
    """A NIfTI file with few values, all far from each other."""
    voxels = np.random.default_rng(0).choice([0, 7, 90, 250], (length,) * 3).astype(dtype)
    if dtype == "bool":
        np.save(folder / f"{name}.npy", voxels > 0)
        return folder / f"{name}.npy"
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(folder / f"{name}.nii.gz")
    return folder / f"{name}.nii.gz"


def sample_of(path, folder, **config):
    config = {"source": str(path), "output": str(folder), "zarr": {"chunk": 8}} | config
    (sample,) = read_run(config)[1].values()
    return sample


@pytest.mark.parametrize(
    ("name", "dtype", "nii", "config", "mode", "described"),
    [
        ("sub-01_T1w", "u2", True, {}, "mean", False),
        ("sub-01_dseg", "u2", True, {}, "mode", True),
        ("sub-01_dseg", "u2", True, {"pyramid": {"mode": "stride"}}, "stride", True),
        ("sub-01_probseg", "u1", True, {}, "mean", False),
        ("dseg", "u2", True, {}, "mean", False),
        ("sub-01_dseg", "f4", True, {}, "mode", False),
        ("mask", "bool", True, {}, "mode", False),
        ("mask_dseg", "bool", True, {}, "mode", True),
        ("mask_dseg", "bool", False, {}, "mode", False),
        ("mask", "bool", False, {}, "mode", False),
        ("wave_dseg", "c8", True, {}, "mean", False),
    ],
)
def test_labels_are_downsampled_by_mode(tmp_path, name, dtype, nii, config, mode, described):
    path = volume(tmp_path, name, dtype)
    sample = sample_of(path, tmp_path, nifti={"nii": nii}, **config)
    sample.check()
    assert sample.mode == mode
    metadata = sample.attributes["ome"]
    assert metadata["multiscales"][0]["type"] == mode
    assert metadata["multiscales"][0]["metadata"]["kwargs"]["mode"] == mode
    assert ("image-label" in metadata) is described
    assert bool(sample.channels) is not (described or dtype == "c8")


def test_log_says_once_which_mode_is_used_and_why(tmp_path, caplog):
    def logged():
        return [line for line in caplog.messages if "pyramid by" in line]

    caplog.set_level(logging.INFO)
    config = {"zarr": {"chunk": 8}}
    convert(volume(tmp_path, "a_dseg"), tmp_path, config)
    assert logged() == [
        f"{tmp_path}/a_dseg.nii.zarr: pyramid by mode (it is labels: its name ends in _dseg)"
    ]
    convert(tmp_path / "a_dseg.nii.gz", tmp_path, config)
    convert(volume(tmp_path, "small", length=4), tmp_path, config)
    assert len(logged()) == 1
    convert(volume(tmp_path, "b"), tmp_path, config)
    assert logged()[1].endswith("pyramid by mean (nothing says that it is labels)")


@pytest.mark.parametrize(
    ("version", "options"),
    [("0.4", {"zarr_version": 2, "compressor": "zlib"}), ("0.5", {}), ("0.6", {})],
)
def test_labels_have_image_label_metadata_and_no_windows(tmp_path, version, options):
    path = volume(tmp_path, "a_dseg")
    config = {"zarr": {"chunk": 8} | options, "ome": {"ome_version": version}}
    run, samples = read_run(config | {"source": str(path), "output": str(tmp_path)})
    vars(samples["a_dseg"].source)["labels"] = DETAILS
    paths = run.paths("a_dseg")
    convert_sample(samples["a_dseg"], paths, verify="full", threads=1)
    group = zarr.open_group(paths.store, mode="r")
    attributes = dict(group.attrs)
    found = attributes.get("ome", attributes)
    assert "omero" not in found
    assert found["image-label"] == ({"version": "0.4"} if version == "0.4" else {}) | {
        name: DETAILS[name] for name in ("colors", "properties", "more")
    }
    values = [set(np.unique(group[name][...])) for name in ("0", "1")]
    assert values[1] <= values[0]
    models = {"0.4": ome_zarr_models.v04.ImageLabel, "0.5": ome_zarr_models.v05.ImageLabel}
    if version in models:
        models[version].from_zarr(group)
    report = json.loads(paths.report.read_text())
    assert (report["verify"], report["sound"]) == ("full", True)


def described(path, folder, **config):
    return sample_of(path, folder, **config).attributes["ome"].get("image-label")


def freesurfer(path, shape, table, *, dtype=np.int32):
    """Write an MGH image with tags and a colour table, which nibabel writes for surfaces."""
    voxels = np.random.default_rng(0).integers(0, 4, shape).astype(dtype)
    nibabel.MGHImage(voxels, np.eye(4)).to_filename(path)
    annot = path.with_name("lh.annot")
    colors = np.array([[*color, 0] for color in table.values()])
    nibabel.freesurfer.write_annot(annot, np.zeros(1, int), colors, list(table), fill_ctab=True)
    transform = struct.pack(">iq", 31, 6) + b"a.xfm\0"
    opened = gzip.open if path.suffix == ".mgz" else open
    with opened(path, "rb") as file:
        content = file.read()
    with opened(path, "wb") as file:
        file.write(content + transform + annot.read_bytes()[4 + 8 :])
    return path


FREESURFER = {"Unknown": (0, 0, 0, 0), "Left-Caudate": (122, 186, 220, 0), "Veil": (1, 2, 3, 55)}


# nibabel leaves the files of MGH images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["aseg.mgh", "aseg.mgz", "aseg.mgh.gz"])
def test_colour_tables_of_freesurfer_are_kept(tmp_path, name):
    """The transparency of FreeSurfer is 255 minus that of OME-Zarr; its background is not drawn."""
    path = tmp_path / name.removesuffix(".gz")
    freesurfer(path, (4, 5, 6), FREESURFER)
    if name.endswith(".gz"):
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(path.read_bytes())
        path = tmp_path / name
    assert described(path, tmp_path) == {
        "colors": [
            {"label-value": 1, "rgba": [122, 186, 220, 255]},
            {"label-value": 2, "rgba": [1, 2, 3, 200]},
        ],
        "properties": [
            {"label-value": value, "name": name} for value, name in enumerate(FREESURFER)
        ],
    }
    assert sample_of(path, tmp_path).mode == "mode"


# nibabel leaves the files of MGH images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_images_of_freesurfer_without_a_table_are_intensities(tmp_path, caplog):
    path = tmp_path / "T1.mgz"
    nibabel.MGHImage(np.ones((4, 4, 4), "u1"), np.eye(4)).to_filename(path)
    assert described(path, tmp_path) is None
    damaged = freesurfer(tmp_path / "a.mgh", (4, 4, 4), FREESURFER)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert described(damaged, tmp_path) is None
    assert "a.mgh: labels get no names and colours, because its colour table is dam" in caplog.text


TABLE = "index\tname\tabbreviation\tcolor\tmapping\n0\tUnknown\tn/a\t#000000\t\n"
TABLE += '4\t"Left Ventricle"\tLV\t#78128E\t5\n9\tRight\tn/a\tn/a\t\n'
DESCRIBED = {
    "colors": [{"label-value": 4, "rgba": [120, 18, 142, 255]}],
    "properties": [
        {"label-value": 0, "name": "Unknown"},
        {"label-value": 4, "name": "Left Ventricle", "abbreviation": "LV", "mapping": "5"},
        {"label-value": 9, "name": "Right"},
    ],
}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("sub-01/anat/sub-01_desc-aseg_dseg.tsv", True),
        ("sub-01/anat/sub-01_dseg.tsv", True),
        ("sub-01/desc-aseg_dseg.tsv", True),
        ("desc-aseg_dseg.tsv", True),
        ("dseg.tsv", True),
        ("desc-aparcaseg_dseg.tsv", False),
        ("sub-01/anat/sub-01_desc-aseg_space-T1w_dseg.tsv", False),
        ("sub-01/anat/sub-01_desc-aseg_probseg.tsv", False),
        ("../dseg.tsv", False),
    ],
)
def test_the_lookup_table_of_bids_names_labels(tmp_path, table, found):
    root = tmp_path / "bids"
    folder = root / "sub-01/anat"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.10.0"}')
    (root / table).write_text(TABLE)
    path = volume(folder, "sub-01_desc-aseg_dseg")
    assert described(path, tmp_path / "out") == (DESCRIBED if found else {})


def test_the_nearest_lookup_table_counts(tmp_path):
    folder = tmp_path / "bids/sub-01/anat"
    folder.mkdir(parents=True)
    (tmp_path / "bids/dataset_description.json").write_text("{}")
    (tmp_path / "bids/desc-aseg_dseg.tsv").write_text("index\tname\n1\tfar\n")
    path = volume(folder, "sub-01_desc-aseg_dseg")
    (folder / "sub-01_dseg.tsv").write_text(TABLE)
    assert described(path, tmp_path / "out") == DESCRIBED
    (folder / "sub-01_desc-aseg_dseg.tsv").write_text("index\tname\n2\tnear\n")
    assert described(path, tmp_path / "out") == {"properties": [{"label-value": 2, "name": "near"}]}


def test_a_lookup_table_beside_a_file_that_is_in_no_data_set_counts(tmp_path):
    path = volume(tmp_path, "a_dseg")
    (tmp_path / "a_dseg.tsv").write_text(TABLE)
    (tmp_path.parent / "dseg.tsv").write_text("index\tname\n1\tfar\n")
    assert described(path, tmp_path / "out") == DESCRIBED
    (tmp_path / "a_dseg.tsv").unlink()
    assert described(path, tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("index\tlabel\n1\ta\n", "there is no column 'name'"),
        ("name\n1\n", "there is no column 'index'"),
        ("index\tname\nfour\ta\n", "invalid literal for int"),
    ],
)
def test_a_damaged_lookup_table_is_named(tmp_path, caplog, text, why):
    path = volume(tmp_path, "a_dseg")
    (tmp_path / "a_dseg.tsv").write_text(text)
    assert described(path, tmp_path / "out") == {}
    assert f"a_dseg.tsv: the labels of {path} get no names" in caplog.text
    assert why in caplog.text


def test_a_changed_lookup_table_changes_the_metadata_of_a_store(tmp_path):
    path = volume(tmp_path, "a_dseg")
    for names in ([], ["one", "two"], ["uno"]):
        lines = [f"{n}\t{name}" for n, name in enumerate(names, 1)]
        (tmp_path / "a_dseg.tsv").write_text("\n".join(["index\tname", *lines, ""]))
        convert(path, tmp_path / "out", {"zarr": {"chunk": 8}})
        attributes = zarr.open_group(tmp_path / "out/a_dseg.nii.zarr", mode="r").attrs["ome"]
        found = attributes["image-label"].get("properties", [])
        assert [entry["name"] for entry in found] == names


def tilted(degrees, sizes, start):
    """An affine whose first two axes are turned."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    return nibabel.affines.from_matvec(turn @ np.diag(sizes), start)


@pytest.mark.parametrize(
    ("affine", "unit", "is_placed"),
    [
        (tilted(20, [1, 2, 3], [7, 8, 9]), "mm", True),
        (tilted(20, [2, 2, 1], [5, 8.5, -9]), "mm", True),
        (tilted(20, [2000, 2000, 1000], [5000, 8500, -9000]), "micron", True),
        (tilted(20.3, [1, 2, 3], [7, 8, 9]), "mm", True),
        (tilted(26, [1, 2, 3], [7, 8, 9]), "mm", False),
        (tilted(20, [-1, 2, 3], [7, 8, 9]), "mm", False),
    ],
)
def test_labels_of_another_grid_are_placed_in_their_image(
    tmp_path, caplog, affine, unit, is_placed
):
    files = {}
    for name, where, space in (("a", tilted(20, [1, 2, 3], [7, 8, 9]), "mm"), ("b", affine, unit)):
        image = nibabel.Nifti1Image(np.zeros((9, 8, 7), "u1"), where)
        image.header.set_xyzt_units(space)
        image.to_filename(tmp_path / f"{name}.nii")
        files[name] = image
    rows = f"a\t{tmp_path}/a.nii\t\nb\t{tmp_path}/b.nii\ta\n"
    (tmp_path / "s.tsv").write_text(f"sample\tsource\tlabel_of\n{rows}")
    samples = read_run({"samples": f"{tmp_path}/s.tsv", "zarr": {"chunk": 9}})[1]
    (image,) = samples["a/labels/b"].attributes["ome"]["multiscales"]
    scale, shift = (
        step[step["type"]] for step in image["datasets"][0]["coordinateTransformations"]
    )
    assert ("its axes do not lie along those" in caplog.text) is not is_placed
    # nibabel says where the first voxel of the labels is in the image.
    factor = 1000 if unit == "micron" else 1
    first = affine[:3, 3] / factor
    voxels = nibabel.affines.apply_affine(np.linalg.inv(files["a"].affine), first)
    expected = (voxels * [1, 2, 3])[::-1] * factor if is_placed else [0, 0, 0]
    np.testing.assert_allclose(shift, expected, atol=1e-3 * factor)
    np.testing.assert_allclose(scale, nibabel.affines.voxel_sizes(affine)[::-1], rtol=1e-5)


def test_labels_without_anatomy_keep_their_position(tmp_path):
    for name, length in (("a", 9), ("b", 4)):
        np.save(tmp_path / f"{name}.npy", np.zeros((length,) * 3, "u1"))
    rows = "".join(f"{name}\t{tmp_path}/{name}.npy\t{of}\n" for name, of in ("a ", "ba"))
    (tmp_path / "s.tsv").write_text(f"sample\tsource\tlabel_of\n{rows}")
    config = {"samples": f"{tmp_path}/s.tsv", "ome": {"orientation": "LPS"}}
    assert read_run(config)[1]["a/labels/b"].position == ()


@settings(max_examples=20)
@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(DETAILS, st.lists(ENTRIES) | JSON)))
def test_details_that_are_not_valid_are_left_out(details):
    if not isinstance(details, dict):
        return
    for version in ("0.4", "0.5"):
        attributes = ome.attributes(
            axes="zyx", placements=ome.of_factors([(1, 1, 1)]), ome_version=version
        )
        labels = ome.with_labels(attributes, details, image="../../")
        yaozarrs.validate_ome_json(json.dumps(labels, allow_nan=False))


def test_details_that_are_valid_are_kept():
    attributes = ome.attributes(
        axes="zyx", placements=ome.of_factors([(1, 1, 1)]), ome_version="0.5"
    )
    colors = [
        {"label-value": 1, "rgba": [0, 0, 0, 256]},
        {"label-value": 2.0, "rgba": [0, 0, 0, 255]},
        {"label-value": 2, "rgba": [1, 1, 1, 255]},
        {"label-value": 3.5},
        {"label-value": True},
        {"rgba": [1, 1, 1, 255]},
        [],
    ]
    details = {"colors": colors, "properties": [{"label-value": 3, "size": float("nan")}]}
    found = ome.with_labels(attributes, details, image="../../")["ome"]["image-label"]
    assert found == {
        "colors": [{"label-value": 2, "rgba": [0, 0, 0, 255]}],
        "source": {"image": "../../"},
    }
