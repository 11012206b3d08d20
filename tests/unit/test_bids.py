"""BIDS data sets: images, filters, metadata by the inheritance principle, description."""

import json
import os
import re
import shutil
import sys

import bids2table
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.bids import dataset, description, sidecars
from neurozarr.errors import ConfigError, SourceError
from neurozarr.samples.reading import read_run
from neurozarr.version import VERSION

from . import dicoms
from .bids_sets import data_set, image, text

T1W = "sub-01/anat/sub-01_T1w.nii.gz"


def paths(root, **filters):
    return [os.path.relpath(found.path, root) for found in dataset.images(str(root), filters)]


def test_description_or_named_image_makes_a_data_set(tmp_path):
    assert dataset.is_dataset(str(data_set(tmp_path / "a")))
    image(tmp_path / "b" / T1W)
    assert dataset.is_dataset(str(tmp_path / "b"))
    text(tmp_path / "c/dataset_description.json", "damaged")
    text(tmp_path / "c/sub-01/anat/T1w.nii.gz")
    text(tmp_path / "c/sub-01/sub-01_T1w.nii.gz")
    assert not dataset.is_dataset(str(tmp_path / "c"))


def test_dicom_directories_of_subjects_are_no_data_set(tmp_path):
    for number in ("01", "02"):
        dicoms.slices(tmp_path / f"dicoms/sub-{number}/anat")
    assert not dataset.is_dataset(str(tmp_path / "dicoms"))
    _, samples = read_run({"source": str(tmp_path / "dicoms")})
    assert list(samples) == ["dicoms"]
    assert samples["dicoms"].conversion is not None


def test_images_are_those_of_mri_and_of_microscopy(tmp_path):
    wanted = [
        T1W,
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-01_echo-2_bold.nii",
        "sub-02/micr/sub-02_sample-A_SPIM.ome.tif",
        "sub-02/micr/sub-02_sample-B_SEM.png",
        "sub-02/micr/sub-02_sample-C_SPIM.ome.zarr",
    ]
    for path in wanted[:-1]:
        text(tmp_path / path)
    text(tmp_path / wanted[-1] / "0/sub-02_T1w.nii.gz")
    for path in (
        "derivatives/x/sub-01/anat/sub-01_desc-x_T1w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/.git/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/eeg/sub-01_photo.png",
        "sub-01/func/sub-01_task-rest_space-fsLR_bold.dtseries.nii",
        "sub-02/micr/sub-02_sample-A_photo.png",
        "tpl-x/anat/tpl-x_T1w.nii.gz",
    ):
        text(tmp_path / path)
    assert paths(tmp_path) == wanted


def test_links_are_followed_once(tmp_path):
    image(tmp_path / "elsewhere/anat/sub-01_T1w.nii.gz")
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids/sub-01").symlink_to("../elsewhere")
    (tmp_path / "elsewhere/anat/loop").symlink_to("..")
    assert paths(tmp_path / "bids") == [T1W]


def test_image_with_another_name_is_reported(tmp_path, caplog):
    data_set(tmp_path, T1W, "sub-01/anat/scan.nii.gz")
    assert paths(tmp_path) == [T1W]
    assert "1 images are left out" in caplog.text
    assert "sub-01/anat/scan.nii.gz" in caplog.text


def test_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bids2table", None)
    with pytest.raises(ConfigError, match=r"the package bids2table is needed: .*pip install"):
        read_run({"source": str(data_set(tmp_path, T1W))})


def test_data_set_without_images_is_an_error(tmp_path):
    text(data_set(tmp_path) / "sub-01/eeg/sub-01_eeg.edf")
    with pytest.raises(ConfigError, match="no image of a BIDS data set is in its directories sub-"):
        dataset.images(str(tmp_path), {})


@pytest.fixture
def sessions(tmp_path):
    return data_set(
        tmp_path,
        *(f"sub-{s}/ses-{e}/anat/sub-{s}_ses-{e}_T1w.nii.gz" for s in ("01", "02") for e in "ab"),
        "sub-03/func/sub-03_task-rest_run-01_bold.nii.gz",
    )


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 5),
        ({"subject": ["01"]}, 2),
        ({"subject": ["01", "03"]}, 3),
        ({"session": ["a"], "suffix": ["T1w"]}, 2),
        ({"datatype": ["func"], "task": ["rest"], "run": ["1"]}, 1),
    ],
)
def test_filters_choose_images(sessions, filters, count):
    assert len(paths(sessions, **filters)) == count


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"subject": ["01", "1"]}, "bids.subject is '1', but .* there are: 01, 02, 03$"),
        ({"suffix": ["t1w"]}, "bids.suffix is 't1w', but .* there are: T1w, bold$"),
        ({"space": ["MNI"]}, "bids.space is 'MNI', .*: no images with a space$"),
        (
            {"subject": ["03"], "suffix": ["T1w"]},
            "bids.suffix is T1w, .* and all of the other filters; with these, there are: bold$",
        ),
    ],
)
def test_filter_without_match_says_what_there_is(sessions, filters, message):
    with pytest.raises(ConfigError, match=message):
        paths(sessions, **filters)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("sub-01", 'subject: "01"}'),
        ("sub-01/ses-a/", 'subject: "01", session: "a"}'),
        ("sub-03/func", 'subject: "03", datatype: "func"}'),
    ],
)
def test_part_of_a_data_set_tells_its_filters(sessions, part, said):
    with pytest.raises(ConfigError, match="a directory of the BIDS data set") as error:
        dataset.check_part(f"{sessions}/{part}")
    assert str(error.value).endswith("and bids: {" + said)


def test_one_metadata_file_is_copied_as_it_is(tmp_path):
    data_set(tmp_path, T1W)
    content = '{"EchoTime":  2.50e-3,\n "Ä": 1}'
    text(tmp_path / "sub-01/anat/sub-01_T1w.json", content)
    assert sidecars.texts(str(tmp_path), f"{tmp_path}/{T1W}") == {".json": content}


BOLD = "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_bold"
PLACES = ("", "sub-01/", "sub-01/ses-1/", "sub-01/ses-1/func/")
NAMES = st.lists(
    st.sampled_from(["sub-01", "ses-1", "task-rest", "run-1", "run-2", "acq-x"]), unique=True
).map(lambda entities: "_".join([*sorted(entities), "bold.json"]))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_metadata_are_inherited_as_bids2table_does(tmp_path_factory, data):
    root = data_set(tmp_path_factory.mktemp("set"), f"{BOLD}.nii")
    for number, place in enumerate(PLACES):
        # Of files that apply, BIDS allows one in a directory.
        name = data.draw(NAMES)
        text(root / place / name, {str(number): name, "last": number})
        text(root / place / "T1w.json", {"wrong": True})
    found = sidecars.texts(str(root), f"{root}/{BOLD}.nii").get(".json", "{}")
    assert json.loads(found) == bids2table.load_bids_metadata(root / f"{BOLD}.nii")
    shutil.rmtree(root)


def test_more_specific_of_two_files_counts(tmp_path):
    data_set(tmp_path, T1W)
    text(tmp_path / "T1w.json", {"a": 1, "b": 1})
    text(tmp_path / "sub-01_T1w.json", {"a": 2})
    text(tmp_path / "sub-02_T1w.json", {"a": 3})
    found = sidecars.texts(str(tmp_path), f"{tmp_path}/{T1W}")
    assert json.loads(found[".json"]) == {"a": 2, "b": 1}


def test_nearest_gradients_count(tmp_path):
    data_set(tmp_path, "sub-01/dwi/sub-01_dwi.nii.gz", T1W)
    for name in ("dwi.bval", "dwi.bvec"):
        text(tmp_path / name, f"root {name}")
    text(tmp_path / "sub-01/dwi/sub-01_dwi.bval", "own")
    found = sidecars.texts(str(tmp_path), f"{tmp_path}/sub-01/dwi/sub-01_dwi.nii.gz")
    assert found == {".bval": "own", ".bvec": "root dwi.bvec"}
    assert sidecars.texts(str(tmp_path), f"{tmp_path}/{T1W}") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "damaged JSON"), (b"[1]", "not a JSON object"), (b"\xff", "not UTF-8 text")],
)
def test_damaged_metadata_file_is_named(tmp_path, content, message):
    data_set(tmp_path, T1W)
    (tmp_path / "T1w.json").write_bytes(content)
    with pytest.raises(SourceError, match=rf"T1w\.json: {message}"):
        sidecars.texts(str(tmp_path), f"{tmp_path}/{T1W}")


def test_derivative_names_its_source_and_its_program(tmp_path):
    one = data_set(tmp_path / "ö", Name="One", DatasetDOI="doi:10.1/x")
    (tmp_path / "two").mkdir()
    made = json.loads(
        description.texts([str(one), str(tmp_path / "two")], tmp_path)["dataset_description.json"]
    )
    assert made["Name"] == "One, two: images as OME-Zarr"
    assert made["DatasetType"] == "derivative"
    assert made["GeneratedBy"] == [{"Name": "neurozarr", "Version": VERSION}]
    assert made["SourceDatasets"] == [{"DOI": "doi:10.1/x"}, {"URL": (tmp_path / "two").as_uri()}]


def test_new_version_does_not_change_the_description(tmp_path):
    name = "dataset_description.json"
    first = description.texts([str(tmp_path)], tmp_path / "out")[name].replace(VERSION, "0.0.1")
    text(tmp_path / "out" / name, first)
    assert description.texts([str(tmp_path)], tmp_path / "out")[name] == first


@pytest.mark.parametrize(
    "content",
    ["{", "[1]", "[" * 100_000],
    ids=["cut", "list", "deep"],
)
def test_damaged_description_is_reported(tmp_path, caplog, content):
    image(tmp_path / T1W)
    text(tmp_path / "dataset_description.json", content)
    assert paths(tmp_path) == [T1W]
    assert dataset.is_dataset(str(tmp_path))
    assert "dataset_description.json: damaged (" in caplog.text


def test_subjects_without_files_are_reported(tmp_path, caplog):
    data_set(tmp_path, T1W)
    (tmp_path / "sub-02").mkdir()
    (tmp_path / "sub-03").symlink_to("nowhere")
    (tmp_path / "sub-04/anat").mkdir(parents=True)
    assert paths(tmp_path) == [T1W]
    assert "2 of its subjects have no files: sub-02, sub-03; if they are" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_directory_that_cannot_be_read_is_named(tmp_path):
    (data_set(tmp_path, T1W) / "sub-01/anat").chmod(0)
    with pytest.raises(ConfigError, match="sub-01/anat: the directory cannot be read: permission"):
        read_run({"source": str(tmp_path)})


def test_part_of_a_data_set_is_known_below_any_directory(tmp_path):
    root = data_set(tmp_path / "sub-project/sets/bids", T1W)
    (root / "sub-01/anat/old").mkdir()
    with pytest.raises(ConfigError, match=r'sets/bids: write .*subject: "01", datatype: "anat"}$'):
        dataset.check_part(f"{root}/sub-01/anat/old")
    with pytest.raises(ConfigError, match=r'sets/bids: write .* bids: {subject: "01"}$'):
        dataset.check_part(f"{root}/sub-01")


def test_directory_of_data_sets_names_them(tmp_path):
    for name in ("one", "two.v1"):
        data_set(tmp_path / "my derivatives" / name, T1W)
    with pytest.raises(
        ConfigError, match=r"data sets \(one, two.v1\): write .*/one for one"
    ) as error:
        read_run({"source": str(tmp_path / "my derivatives")})
    pattern = re.search("'(.*)' and output_tree: true for all$", str(error.value))[1]
    assert len(read_run({"source": pattern, "output_tree": True})[1]) == 2


def test_data_set_of_templates_tells_how_to_convert_it(tmp_path):
    image(data_set(tmp_path) / "tpl-A/anat/tpl-A_T1w.nii.gz")
    with pytest.raises(ConfigError) as error:
        read_run({"source": str(tmp_path)})
    pattern = re.search("give a glob such as '(.*)' and output_tree: true$", str(error.value))[1]
    assert list(read_run({"source": pattern, "output_tree": True})[1]) == ["tpl-A/anat/tpl-A_T1w"]


@pytest.mark.parametrize(
    ("metadata", "size", "unit"),
    [
        ({"PixelSize": [0.25, 0.5], "PixelSizeUnits": "um"}, (0.25, 0.5, 0.25), "micrometer"),
        ({"PixelSize": [1, 2, 3], "PixelSizeUnits": "nm"}, (3, 2, 1), "nanometer"),
        ({"PixelSize": [1e-3, 2e-3], "PixelSizeUnits": "mm"}, (1e-3, 2e-3, 1e-3), "millimeter"),
        ({}, (1, 1, 1), ""),
    ],
)
@pytest.mark.parametrize("ending", ["SEM.png", "SPIM.tif", "SPIM.ome.zarr"])
def test_pixel_size_completes_images_that_have_none(tmp_path, caplog, ending, metadata, size, unit):
    path = data_set(tmp_path) / f"sub-01/micr/sub-01_sample-A_{ending}"
    path.parent.mkdir(parents=True)
    voxels = np.arange(60, dtype="u1").reshape(6, 10)
    if ending.endswith("zarr"):
        zarr.create_array(path, data=voxels)
    else:
        PIL.Image.fromarray(voxels).save(path)
    text(tmp_path / f"{ending.split('.')[0]}.json", metadata)
    (sample,) = read_run({"source": str(tmp_path)})[1].values()
    assert (sample.source.voxel_size[-2:], sample.source.space_unit) == (size[-2:], unit)
    assert sample.source.voxel_size == size
    assert "along z" not in caplog.text


def test_pixel_size_that_the_image_or_the_user_gives_wins(tmp_path):
    path = data_set(tmp_path) / "sub-01/micr/sub-01_sample-A_SPIM.ome.tif"
    path.parent.mkdir(parents=True)
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (4, 2, 2), strict=True)}
    tifffile.imwrite(path, np.ones((3, 4, 5), "u1"), metadata={"axes": "ZYX"} | sizes)
    text(tmp_path / "SPIM.json", {"PixelSize": [9, 9, 9], "PixelSizeUnits": "um"})
    (sample,) = read_run({"source": str(tmp_path)})[1].values()
    assert sample.source.voxel_size == (4, 2, 2)
    given = {"source": str(tmp_path), "voxel_size": [1, 2, 3], "unit": "nm"}
    (sample,) = read_run(given)[1].values()
    assert (sample.source.voxel_size, sample.source.space_unit) == ((1, 2, 3), "nanometer")


@pytest.mark.parametrize(
    "metadata",
    [
        {"PixelSize": [1], "PixelSizeUnits": "um"},
        {"PixelSize": [1, 0], "PixelSizeUnits": "um"},
        {"PixelSize": [1, True], "PixelSizeUnits": "um"},
        {"PixelSize": ["1", "2"], "PixelSizeUnits": "um"},
        {"PixelSize": 2, "PixelSizeUnits": "um"},
        {"PixelSize": [1, 2], "PixelSizeUnits": "furlong"},
        {"PixelSize": [1, 2]},
        {"PixelSize": [1, float("nan")], "PixelSizeUnits": "um"},
    ],
)
def test_pixel_size_that_is_not_valid_is_ignored(tmp_path, caplog, metadata):
    path = data_set(tmp_path) / "sub-01/micr/sub-01_sample-A_SEM.png"
    path.parent.mkdir(parents=True)
    PIL.Image.fromarray(np.ones((4, 5), "u1")).save(path)
    text(tmp_path / "SEM.json", metadata)
    (sample,) = read_run({"source": str(tmp_path)})[1].values()
    assert (sample.source.voxel_size, sample.source.space_unit) == ((1, 1, 1), "")
    assert "A_SEM.png: PixelSize is " in caplog.text
