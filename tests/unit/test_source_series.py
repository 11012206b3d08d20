"""Volumes in files of their own, as the times or channels of an image."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurozarr.errors import ConfigError, SourceError
from neurozarr.regions import whole
from neurozarr.samples.rerun import recipe_of
from neurozarr.sources import channels, open_source, series
from neurozarr.sources.nibabel_image import NibabelSource

from .conversions import convert, convert_row, exported, paths_of
from .families import assert_holds

RNG = np.random.default_rng(0)


def volumes(count, shape=(5, 6, 7)):
    return RNG.integers(0, 999, (count, *shape)).astype("i2")


def nifti(path, data, affine=None, **fields):
    image = nibabel.Nifti1Image(data.T, np.diag([1, 2, 3, 1]) if affine is None else affine)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)


def mgh(path, data):
    nibabel.MGHImage(data.T, np.diag([1, 2, 3, 1])).to_filename(path)


def analyze(path, data):
    nibabel.AnalyzeImage(data.T, np.diag([-1, 2, 3, 1])).to_filename(path)


def hdf5(path, data):
    with h5py.File(path, "w") as file:
        file.create_dataset("volume", data=data, chunks=(1, 2, 3), compression="gzip")


def mat(path, data):
    scipy.io.savemat(path, {"volume": data.transpose(1, 2, 0)})


def store(path, data):
    zarr.create_array(path, data=data, chunks=(2, 3, 4), dimension_names=tuple("zyx"))


def raw(path, data):
    path.write_bytes(data.tobytes())


def tiff(path, data):
    tifffile.imwrite(path, data, photometric="minisblack", compression="zlib")


def slices(path, data):
    path.mkdir()
    for number, image in enumerate(data):
        tifffile.imwrite(path / f"{number}.tif", image)


SAVE = {
    ".nii": nifti,
    ".nii.gz": nifti,
    ".nii.zst": nifti,
    ".mgz": mgh,
    ".img": analyze,
    ".npy": lambda path, data: np.save(path, data),
    ".h5": hdf5,
    ".mat": mat,
    ".ome.zarr": store,
    ".raw": raw,
    ".btf": tiff,
    ".tif": tiff,
    "": slices,
}
TOLD = {".raw": {"shape": (5, 6, 7), "dtype": "i2"}}


# nibabel leaves the files of MGH images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending", SAVE, ids=[*filter(None, SAVE), "slices"])
def test_volumes_of_every_family_are_channels_and_times(tmp_path, ending):
    voxels = volumes(6).reshape(3, 2, 5, 6, 7)
    for t, c in np.ndindex(3, 2):
        SAVE[ending](tmp_path / f"{['DAPI', 'GFP'][c]}_t{t + 8}{ending}", voxels[t, c])
    source = open_source(tmp_path / f"{{c}}_t{{t}}{ending}", **TOLD.get(ending, {}))
    source.check()
    assert source.axes == "tczyx"
    assert source.channel_names == ("DAPI", "GFP")
    assert_holds(source, voxels)
    part = (slice(1, 3), slice(1, 2), slice(2, 5), slice(0, 5), slice(3, 4))
    np.testing.assert_array_equal(source.read(part), voxels[part])
    files = {file for file in source.files_of(part) if ending not in (".ome.zarr", "")}
    assert all(file.name.startswith(("GFP_t9.", "GFP_t10.")) for file in files)
    with ThreadPoolExecutor(1 if source.in_order else 4) as pool:
        places = [(slice(t, t + 1), *whole(source.shape)[1:]) for t in (0, 2, 1)]
        for place, found in zip(places, pool.map(source.read, places), strict=True):
            np.testing.assert_array_equal(found, voxels[place])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Files with times of their own, of different number, and what nibabel joins them to."""
    folder = tmp_path_factory.mktemp("runs")
    each = [volumes(count) for count in (3, 1, 2)]
    for number, data in enumerate(each):
        nifti(folder / f"run{number}.nii", data)
    joined = nibabel.concat_images(sorted(folder.glob("*.nii")), axis=3)
    return open_source(folder / "run{t}.nii"), np.asarray(joined.dataobj).T


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_times_of_several_files_follow_each_other(runs, data):
    assert_holds(*runs, data)


def test_channels_of_several_files_follow_each_other(tmp_path):
    """As Bio-Formats groups files: three of RGB have nine channels."""
    voxels = RNG.integers(0, 255, (2, 3, 5, 6, 7)).astype("u1")
    for name, data in zip("ab", voxels, strict=True):
        colours = np.ascontiguousarray(data.T).view([(c, "u1") for c in "RGB"])[..., 0]
        nibabel.Nifti1Image(colours, np.eye(4)).to_filename(tmp_path / f"x_{name}.nii.gz")
    store, sample = convert(tmp_path / "x_{c}.nii.gz", tmp_path, {"zarr": {"chunk": 4}})
    assert sample.source.channel_names == ("a 0", "a 1", "a 2", "b 0", "b 1", "b 2")
    assert_holds(sample.source, voxels.reshape(6, 5, 6, 7))
    back = nibabel.Nifti1Image.from_bytes(exported(store))
    np.testing.assert_array_equal(back.dataobj[:, :, :, 0].T, voxels.reshape(6, 5, 6, 7))


def test_rounds_of_staining_keep_the_names_of_their_channels(tmp_path):
    voxels = RNG.integers(0, 255, (5, 32, 33)).astype("u2")
    for name, part, dyes in (("1", slice(0, 3), "abc"), ("2", slice(3, 5), "ad")):
        metadata = {"axes": "CYX", "Channel": {"Name": list(dyes)}}
        tifffile.imwrite(tmp_path / f"round{name}.ome.tif", voxels[part], metadata=metadata)
    source = open_source(tmp_path / "round{c}.ome.tif")
    assert source.channel_names == tuple("abcad")
    assert_holds(source, voxels[:, None])
    for t in range(2):
        tifffile.imwrite(tmp_path / f"{t}.btf", voxels[:2], ome=True, metadata=metadata)
    assert open_source(tmp_path / "{t}.btf").channel_names == ("a", "d")
    listed = open_source(f"{tmp_path}/round1.ome.tif; {tmp_path}/round2.ome.tif")
    assert listed.channel_names == ("round1 a", "round1 b", "round1 c", "round2 a", "round2 d")
    assert_holds(listed, voxels[:, None])


def test_missing_volumes_are_filled_if_the_sheet_says_so(tmp_path):
    voxels = volumes(6).reshape(2, 3, 5, 6, 7)
    for c, t in np.ndindex(2, 3):
        np.save(tmp_path / f"{'ab'[c]}_{t}.npy", voxels[c, t])
    (tmp_path / "b_1.npy").unlink()
    (tmp_path / "a_0.npy").unlink()
    voxels[1, 1] = voxels[0, 0] = 0
    with pytest.raises(SourceError, match="no file has t = 0, c = a; 2 of 6 are missing; to fill"):
        open_source(tmp_path / "{c}_{t}.npy")
    source = open_source(tmp_path / "{c}_{t}.npy", missing="fill")
    assert source.filled == "2 of 6 files (t=0 c=0, t=1 c=1)"
    assert_holds(source, voxels.swapaxes(0, 1))
    for t in (0, 2):
        nifti(tmp_path / f"runs{t}.nii", volumes(2))
    with pytest.raises(
        SourceError, match="all files at place 1 along t are missing, so that their"
    ):
        open_source(tmp_path / "runs{t}.nii", missing="fill")


MODALITIES = ("FLAIR", "T1w", "T2w")


@pytest.fixture
def subject(tmp_path):
    voxels = volumes(3)
    for name, data in zip(MODALITIES, voxels, strict=True):
        nifti(tmp_path / f"sub-1_{name}.nii.gz", data)
    return tmp_path, voxels


def test_modalities_of_a_subject_are_channels(subject, caplog):
    folder, voxels = subject
    nifti(folder / "sub-1_T1w_mask.nii.gz", voxels[0])
    store, _ = convert_row(folder, sample="a", source=folder / "sub-1_{c}.nii.gz")
    assert "sub-1_T1w_mask.nii.gz" in caplog.text.split("left out:")[1]
    attributes = zarr.open_group(store, mode="r").attrs["ome"]
    assert [channel["label"] for channel in attributes["omero"]["channels"]] == [*MODALITIES]
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], voxels)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a10", "a9", "B"], ("B", "a9", "a10")),
        (["0", "1", "mask"], ("0", "1", "mask")),
        (["2", "3", "4"], ()),
        (["Alexa 488", "T2-FLAIR"], ("Alexa 488", "T2-FLAIR")),
    ],
)
def test_words_are_in_natural_order_and_numbers_among_them_are_words(
    tmp_path, caplog, names, words
):
    for value, name in enumerate(names):
        np.save(tmp_path / f"s{name}.npy", np.full((2, 3, 4), value, "u1"))
    source = open_source(tmp_path / "s{c}.npy")
    assert source.channel_names == words
    assert source.read(whole(source.shape))[:, 0, 0, 0].tolist() == [
        names.index(word) for word in words or names
    ]
    assert ("numbers and words, which are all channels: 0, 1, mask" in caplog.text) == (
        "0" in words
    )


def test_images_of_slices_and_tiles_may_have_words(tmp_path):
    voxels = RNG.integers(0, 255, (2, 3, 4, 10)).astype("u1")
    for c, z, x in np.ndindex(2, 3, 2):
        name = f"{['Cy3', 'Cy5'][c]}_z{z}_x{x}.tif"
        tifffile.imwrite(tmp_path / name, voxels[c, z, :, 5 * x : 5 * x + 5])
    source = open_source(tmp_path / "{c}_z{z}_x{x}.tif")
    assert source.channel_names == ("Cy3", "Cy5")
    assert_holds(source, voxels)
    (tmp_path / "Cy5_z1_x0.tif").unlink()
    with pytest.raises(SourceError, match="no file has c = Cy5, z = 1, x = 0; 1 of 12 are missing"):
        open_source(tmp_path / "{c}_z{z}_x{x}.tif")
    np.save(tmp_path / "a1.npy", voxels)
    with pytest.raises(SourceError, match=r"\{z\} applies only to images of slices"):
        open_source(tmp_path / "a{z}.npy")


def test_a_list_gives_the_channels_in_its_order(subject, monkeypatch):
    folder, voxels = subject
    monkeypatch.setenv("SCANS", str(folder))
    source = "$SCANS/sub-1_T2w.nii.gz; $SCANS/sub-1_FLAIR.nii.gz ;"
    store, sample = convert_row(folder, sample="a", source=source)
    assert sample.source.channel_names == ("T2w", "FLAIR")
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], voxels[[2, 0]])
    recipe = recipe_of(sample, 0, paths_of(store))
    assert recipe["relative_path"] == "sub-1_T2w.nii.gz;sub-1_FLAIR.nii.gz"
    with pytest.raises(ConfigError, match=r"source .* does not exist"):
        convert_row(folder, sample="a", source="$SCANS/sub-1_T2w.nii.gz;$SCANS/T3.nii.gz")


@pytest.mark.parametrize("source", ["{0}/{{c}}.zarr", "{0}/a.zarr;{0}/b.zarr"])
def test_no_run_may_write_into_the_stores_of_a_series(tmp_path, source):
    for name, data in zip("ab", volumes(2), strict=True):
        store(tmp_path / f"{name}.zarr", data)
    _, sample = convert_row(tmp_path, sample="x", source=source.format(tmp_path))
    assert {tmp_path / "a.zarr", tmp_path / "b.zarr"} <= set(sample.read_paths)


def test_a_list_may_have_patterns_stacks_and_files_of_different_families(tmp_path):
    voxels = volumes(6).reshape(2, 3, 5, 6, 7)
    for t in range(3):
        nifti(tmp_path / f"a_{t}.nii", voxels[0, t])
        np.save(tmp_path / f"b_{t}.npy", voxels[1, t])
    source = open_source(f"{tmp_path}/a_{{t}}.nii;{tmp_path}/b_{{t}}.npy")
    assert (source.channel_names, source.axes) == (("a", "b"), "tczyx")
    assert (source.voxel_size, source.space_unit) == ((3, 2, 1), "millimeter")
    assert_holds(source, voxels.swapaxes(0, 1))
    for name, data in (("red", voxels[0, 0]), ("green", voxels[0, 1])):
        slices(tmp_path / name, data)
    nifti(tmp_path / "c.nii.gz", voxels[0, 0])
    mixed = open_source(f"{tmp_path}/a_0.nii;{tmp_path}/c.nii.gz")
    assert mixed.in_order  # Threads cannot read a compressed stream at once.
    source = open_source(f"{tmp_path}/red/*.tif;{tmp_path}/green/*.tif", output=str(tmp_path / "o"))
    assert source.channel_names == ("red", "green")
    assert_holds(source, voxels[0, :2])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ("s/sub-1_T1w.nii.gz;s/sub-1_T2w.nii.gz", "T1w,T2w"),
        ("BraTS-GLI-00000-000-t1n.nii.gz;BraTS-GLI-00000-000-t2f.mha", "t1n,t2f"),
        ("sub-1_T1w.nii;sub-1_acq-x_run-2_T2w.nii", "T1w,acq-x_run-2_T2w"),
        ("a/DAPI/im.tif;b/DAPI/im.tif;c/Cy3/im.tif", "a/DAPI,b/DAPI,c/Cy3"),
        ("scan.nii;scan_T2.nii", "scan,scan_T2"),
        ("488/{z}.tif;561/{z}.tif", "488,561"),
        ("a.ome.zarr/;b.ome.zarr", "a,b"),
    ],
)
def test_channels_of_a_list_are_named_after_what_differs(paths, names):
    assert channels.differing(paths.split(";")) == names.split(",")


def test_a_file_whose_name_has_the_separator_is_no_list(tmp_path):
    nifti(tmp_path / "a;b.nii", volumes(1)[0])
    assert open_source(tmp_path / "a;b.nii").axes == "zyx"


@pytest.mark.parametrize(
    ("path", "layout", "message"),
    [
        ("{0}/a.npy;", {}, "a list of volumes needs two or more different paths"),
        ("{0}/a.npy;{0}/a.npy", {}, "a list of volumes needs two or more different paths"),
        ("{0}/a.npy;{0}/b.npy", {"dataset": "x"}, "dataset is 'x', but does not apply"),
        ("{0}/a.npy;{0}/b.npy", {"overlap": (0, 0, 1)}, r"overlap is \(0, 0, 1\), but does not"),
        ("{0}/a.npy;{0}/c.npy", {}, r"c\.npy: there is no such file"),
        ("{0}/a.npy;{0}/notes.txt", {}, r"notes\.txt: not a supported format"),
        ("{0}/a.npy;{0}/a.dcm", {}, r"a\.dcm: a DICOM series cannot be one of several volumes"),
        ("{0}/{{t}}.npy", {}, "no file matches with numbers at the placeholders$"),
        ("{0}/{{c}}{{t}}.npy", {}, "no file matches with numbers at the placeholders$"),
        ("{0}/c{{c}}.npy", {}, r"or at \{c\} with words without _ and \.; there are .*/c_1\.npy"),
    ],
)
def test_lists_that_make_no_image_are_refused(tmp_path, path, layout, message):
    for name in ("a", "b", "c_1"):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 3, 4), "u1"))
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(SourceError, match=message):
        open_source(path.format(tmp_path), **layout)


OTHER = np.array([[1, 0, 0, 0.2], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
ODD = {
    "shape": (
        {},
        (5, 6, 8),
        r"its shape is \(5, 6, 8\) along zyx, but that of .*_T1w.* \(5, 6, 7\)",
    ),
    "axes": ({}, (2, 5, 6, 7), r"its shape is \(2, 5, 6, 7\) along tzyx, but"),
    "dtype": ({"dtype": "u2"}, (5, 6, 7), "its dtype is uint16, but that of .* is int16"),
    "slope": ({"scl_slope": 2, "scl_inter": 0}, (5, 6, 7), "its slope is 2.0, but that .* is 1.0"),
    "unit": ({"xyzt_units": 3}, (5, 6, 7), "its space unit is micrometer, but .* is millimeter"),
    "voxel size": ({"affine": np.eye(4)}, (5, 6, 7), r"its voxel size is \(1.0, 1.0, 1.0\), but"),
    "affine": ({"affine": OTHER}, (5, 6, 7), r"its affine is \[\[1.0, 0.0, 0.0, 0.2\].* is \[\["),
}


@pytest.mark.parametrize(("change", "shape", "message"), ODD.values(), ids=ODD)
def test_what_does_not_agree_is_named_with_both_values(tmp_path, change, shape, message):
    nifti(tmp_path / "s_T1w.nii", volumes(1)[0])
    data = np.zeros(shape, change.get("dtype", "i2"))
    fields = {name: value for name, value in change.items() if name != "dtype"}
    nifti(tmp_path / "s_T2w.nii", data, **fields)
    with pytest.raises(SourceError, match=f"s_T2w.nii: {message}"):
        open_source(tmp_path / "s_{c}.nii")


def test_labels_and_intensities_are_no_image(tmp_path):
    nifti(tmp_path / "s_T1w.nii", volumes(1)[0])
    facts, source = series._Facts("c", (2,)), open_source(tmp_path / "s_T1w.nii")
    facts.add("T1w", source, (0,))
    with pytest.raises(SourceError, match=r"seg: its kind of voxels is labels, but .* intensities"):
        facts.add("seg", replace(source, labels={}), (1,))


def test_rounding_and_what_is_unknown_do_not_disagree(tmp_path):
    affine = np.diag([1, 2, 3, 1.0])
    nifti(tmp_path / "s_1.nii", volumes(1)[0], affine, xyzt_units=0)
    nifti(
        tmp_path / "s_2.nii", volumes(1)[0], affine + np.array([[0, 1e-5, 0, 1e-4]] * 3 + [[0] * 4])
    )
    source = open_source(tmp_path / "s_{c}.nii")
    assert source.space_unit == "millimeter"
    np.testing.assert_array_equal(source.affine, affine)


def test_a_volume_that_changes_is_refused(tmp_path):
    for t in range(2):
        nifti(tmp_path / f"{t}.nii", volumes(1)[0])
    source = open_source(tmp_path / "{t}.nii")
    nifti(tmp_path / "1.nii", np.zeros((7, 6, 5), "i2"))
    with pytest.raises(SourceError, match=r"1\.nii: it was changed since it was first opened"):
        source.read(whole(source.shape))


@pytest.mark.skipif(sys.platform != "linux", reason="lists the open files of the process")
@pytest.mark.parametrize(("ending", "most"), [(".nii", 16), (".nii.gz", 1), (".h5", 16)])
def test_each_header_is_read_once_and_few_files_are_open(tmp_path, monkeypatch, ending, most):
    voxels = volumes(40, (1, 2, 3))
    for t, data in enumerate(voxels):
        SAVE[ending](tmp_path / f"{t}{ending}", data)
    count, original = [], NibabelSource._open.__func__
    counted = classmethod(lambda cls, *given: count.append(given) or original(cls, *given))
    monkeypatch.setattr(NibabelSource, "_open", counted)
    source = open_source(tmp_path / f"{{t}}{ending}")
    source.check()
    assert len(count) == (0 if ending == ".h5" else 40)
    assert_holds(source, voxels)
    files = [os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd")]
    assert 0 < sum(str(tmp_path) in file for file in files) <= most


# What other programs read


def write_series(folder, name):
    """Two channels of three times; the 4D image of each that nibabel makes of them."""
    images = []
    for channel, time in np.ndindex(2, 3):
        path = folder / name.format(c=channel, t=time + 9)
        nifti(path, volumes(1)[0], pixdim=[1, 1, 2, 3, 2.5, 1, 1, 1])
        images.append(nibabel.load(path))
    joined = [nibabel.concat_images(images[:3]), nibabel.concat_images(images[3:])]
    return [nibabel.Nifti1Image(np.asarray(x.dataobj, "i2"), x.affine) for x in joined]


def test_a_series_becomes_the_image_that_nibabel_makes_of_it(tmp_path):
    first, second = write_series(tmp_path, "c{c}_t{t}.nii.gz")
    store, sample = convert(tmp_path / "c0_t{t}.nii.gz", tmp_path, {"zarr": {"chunk": 4}})
    assert (sample.source.time_step, sample.source.time_unit) == (2.5, "second")
    back = nibabel.Nifti1Image.from_bytes(exported(store))
    np.testing.assert_array_equal(back.dataobj, first.dataobj)
    assert back.header.get_zooms() == (1, 2, 3, 2.5)
    np.testing.assert_array_equal(back.affine, first.affine)
    both = open_source(tmp_path / "c{c}_t{t}.nii.gz")
    expected = np.stack([first.dataobj, second.dataobj], -1).transpose(3, 4, 2, 1, 0)
    assert_holds(both, expected)
