"""DICOM sources: what dcm2niix makes of them reaches the store, and nothing that names a person."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pytest

from neurozarr.errors import ConfigError, OwnershipError, SourceError
from neurozarr.samples.reading import read_run
from neurozarr.sources import dicom, open_source
from neurozarr.sources.base import Layout
from neurozarr.steps.convert_bundle import convert_sample

from . import dicoms
from .conversions import exported

SHARED = Path(__file__).parents[3] / "shared/data/dicom"
REAL = sorted(path.name for path in SHARED.iterdir() if path.is_dir()) if SHARED.is_dir() else []
#: dcm2niix itself is told nothing of uneven slices and tilted gantries.
ORIGINAL = {"dicom": {"tilt": "original"}}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A directory for each of the series."""
    top = tmp_path_factory.mktemp("dicom")
    for make in dicoms.ALL:
        make(top / make.__name__)
    return top


@pytest.fixture
def bold(made, tmp_path):
    """A copy of a series, to change."""
    return shutil.copytree(made / "series", tmp_path / "bold")


def nifti_of(folder, out):
    """What dcm2niix makes of a directory, without us."""
    out.mkdir()
    command = [dcm2niix.bin, "-z", "n", "-f", "%s-%e-%r", "-o", str(out), str(folder)]
    environment = os.environ | {"MALLOC_PERTURB_": "255"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return [nibabel.load(file) for file in sorted(out.glob("*.nii")) if "_Tilt" not in file.name]


def samples_of(folder, out, **config):
    """Samples of all images of a directory, and the paths of their stores."""
    sheet = out.with_suffix(".tsv")
    sheet.write_text(f"sample\tsource\tdataset\nx\t{folder}\t*\n")
    run, samples = read_run({"samples": str(sheet), "output": str(out)} | config)
    return [(sample, run.paths(name)) for name, sample in samples.items()]


def convert(sample, paths):
    sample.check()
    convert_sample(sample, paths, verify="full", threads=1)


def told(image):
    """What two images must have in common: voxels, affines and their codes, sizes and units."""
    header = image.header
    return (
        np.asarray(image.dataobj.get_unscaled()).tobytes(),
        *(header[name].tobytes() for name in ("pixdim", "xyzt_units", "qform_code", "sform_code")),
        *(header[name].tobytes() for name in ("srow_x", "srow_y", "srow_z", "datatype")),
        image.dataobj.slope,
        image.dataobj.inter,
    )


@pytest.mark.parametrize(
    "folder",
    [*(make.__name__ for make in dicoms.ALL if make is not dicoms.uneven), *REAL],
)
def test_stores_are_equal_to_the_images_of_dcm2niix(made, tmp_path, folder):
    source = SHARED / folder if folder in REAL else made / folder
    expected = nifti_of(source, tmp_path / "expected")
    found = []
    for sample, paths in samples_of(source, tmp_path / "out", **ORIGINAL):
        convert(sample, paths)
        file = tmp_path / "back.nii"
        file.write_bytes(exported(paths.store))
        found.append(told(nibabel.load(file)))
    assert sorted(map(repr, found)) == sorted(repr(told(image)) for image in expected)


def test_voxels_and_positions_are_those_of_the_files(made):
    volume = open_source(made / "series")
    assert (volume.axes, volume.shape, volume.time_step) == ("tzyx", (3, 4, 16, 16), 2.0)
    voxels = volume.read(tuple(slice(0, length) for length in volume.shape))
    for t in range(3):
        for z in range(4):
            # DICOM rows go to the back, the second axis of NIfTI to the front.
            np.testing.assert_array_equal(voxels[t, z], dicoms.plane(z, t)[::-1])
    # The first voxel of the last row of the first slice, in LPS: (-15, -20 + 15 * 3, 0).
    np.testing.assert_allclose(volume.affine[:3, 3], [15, -25, 0])
    assert volume.voxel_size == (4.0, 3.0, 2.0)
    volume.close()


@pytest.mark.parametrize("folder", ["tilted", "uneven"])
def test_slices_on_no_regular_grid_are_corrected(made, tmp_path, folder):
    ((corrected, _),) = samples_of(made / folder, tmp_path / "a")
    ((original, _),) = samples_of(made / folder, tmp_path / "b", **ORIGINAL)
    assert original.source.shape == (5, 16, 16)
    assert corrected.source.shape == {"tilted": (5, 18, 16), "uneven": (7, 16, 16)}[folder]


def test_no_file_names_a_person(made, tmp_path, capfd):
    """Not even where the scanner's operator wrote the name into a description."""
    for make in dicoms.ALL:
        for sample, paths in samples_of(made / make.__name__, tmp_path / make.__name__):
            convert(sample, paths)
    shutil.move(tmp_path, tmp_path.with_name("written"))
    written = [path for path in tmp_path.with_name("written").rglob("*") if path.is_file()]
    assert sum(path.suffix == ".json" for path in written) > 2 * len(dicoms.ALL)
    printed = "".join(capfd.readouterr())
    for secret in dicoms.SECRETS:
        assert secret not in printed
        for path in written:
            assert secret not in str(path)
            assert secret.encode() not in path.read_bytes(), path


def test_metadata_and_gradients_lie_beside_the_store(made, tmp_path):
    ((sample, paths),) = samples_of(made / "diffusion", tmp_path / "out")
    convert(sample, paths)
    metadata = json.loads((tmp_path / "out/x_14_dwi.json").read_text())
    assert (metadata["EchoTime"], metadata["SeriesDescription"]) == (0.02, "dwi")
    assert np.loadtxt(tmp_path / "out/x_14_dwi.bval").tolist() == [0, 1000, 1000]
    assert np.loadtxt(tmp_path / "out/x_14_dwi.bvec").shape == (3, 3)


def test_the_version_of_dcm2niix_is_in_the_store(made, tmp_path):
    ((sample, paths),) = samples_of(made / "slices", tmp_path / "out")
    convert(sample, paths)
    found = json.loads((paths.store / "zarr.json").read_text())["attributes"]["ome"]
    version = found["multiscales"][0]["metadata"]["source_converter"]
    assert version == f"dcm2niix {dcm2niix.__version__}"


def test_edited_sidecars_are_kept_and_lost_ones_come_back(made, tmp_path):
    ((sample, paths),) = samples_of(made / "diffusion", tmp_path / "out")
    convert(sample, paths)
    edited, lost = paths.sidecar(".json"), paths.sidecar(".bval")
    edited.write_text("{}")
    lost.unlink()
    ((sample, paths),) = samples_of(made / "diffusion", tmp_path / "out")
    convert(sample, paths)
    assert edited.read_text() == "{}"
    assert lost.exists()


def test_files_of_others_are_not_overwritten(made, tmp_path):
    ((sample, paths),) = samples_of(made / "slices", tmp_path / "out")
    paths.sidecar(".json").parent.mkdir()
    paths.sidecar(".json").write_text("mine")
    with pytest.raises(OwnershipError, match=r"x_1_T1w\.json was not written by this workflow"):
        convert(sample, paths)
    assert paths.sidecar(".json").read_text() == "mine"


def test_one_of_several_images_must_be_named(made):
    with pytest.raises(SourceError) as caught:
        open_source(made / "echoes")
    table = str(caught.value).splitlines()
    assert "2 images; name one in dataset by words" in table[0]
    assert [line.split()[:4] for line in table[1:]] == [
        ["series", "description", "echo", "part"],
        ["5", "echoes", "e1", "magnitude"],
        ["5", "echoes", "e2", "magnitude"],
    ]
    with pytest.raises(SourceError, match="no image is 'T2w'"):
        open_source(made / "echoes", dataset="T2w")


@pytest.mark.parametrize(
    ("folder", "dataset", "file"),
    [
        ("echoes", "e2", "IM0005.dcm"),
        ("echoes", "5 e1", "IM0001.dcm"),
        ("magnitude_and_phase", "phase", "IM0005.dcm"),
        ("series", "bold", "IM0001.dcm"),
        ("series", "2", "IM0001.dcm"),
    ],
)
def test_an_image_is_named_by_series_description_echo_or_part(made, folder, dataset, file):
    import pydicom

    volume = open_source(made / folder, dataset=dataset)
    first = volume.read(tuple(slice(0, 1) for _ in volume.shape[:-2]) + (slice(0, 16),) * 2)
    stored = pydicom.dcmread(made / folder / file)
    np.testing.assert_array_equal(
        first.squeeze()[::-1], np.frombuffer(stored.PixelData, "<u2").reshape(16, 16)
    )
    volume.close()


def test_each_image_becomes_a_sample_of_its_own(made, tmp_path):
    def names(folder):
        return [sample.name for sample, _ in samples_of(made / folder, tmp_path / folder)]

    assert names("slices") == ["x_1_T1w"]
    assert names("echoes") == ["x_5_echoes_e1", "x_5_echoes_e2"]
    assert names("magnitude_and_phase") == ["x_6_gre_e1_magnitude", "x_6_gre_e1_phase"]
    assert names("named") == ["x_17"]
    assert len(set(names("two_patients"))) == 2
    assert len(set(names("localizer"))) == 3


def test_a_file_stands_for_its_series(made):
    both = made / "both"
    if not both.exists():
        shutil.copytree(made / "series", both)
        shutil.copytree(made / "bare", both, dirs_exist_ok=True)
    assert open_source(both / "IM0003.dcm").shape == (3, 4, 16, 16)
    assert open_source(both / "00000002").shape == (4, 16, 16)


def test_other_files_and_depth_do_not_matter(made, tmp_path):
    folder = tmp_path / "a b/ü/(1)"
    shutil.copytree(made / "slices", folder / "x/y")
    (folder / "notes.txt").write_text("none of these is DICOM")
    (folder / "x/empty.dcm").touch()
    (folder / "x/.hidden.dcm").write_bytes(b"\0" * 200)
    os.symlink(made / "slices/IM0001.dcm", folder / "again.dcm")
    (folder / "x/y/IM0001.dcm").unlink()
    assert open_source(folder).shape == (4, 16, 16)


def test_planning_needs_no_second_conversion(bold, tmp_path, monkeypatch):
    calls = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **told: calls.append(1) or run(*args, **told)
    )
    out = tmp_path / "out"
    ((sample, paths),) = samples_of(bold, out)
    assert not sample.is_planned
    convert(sample, paths)
    assert not (paths.state / "dicom").exists()
    once = len(calls)
    for cached in (dicom._images, dicom._state):  # As in another process.
        cached.cache_clear()
    ((sample, _),) = samples_of(bold, out)
    assert sample.is_planned
    assert sample.levels[0].shape == (3, 4, 16, 16)
    assert len(calls) == once


@pytest.mark.parametrize("change", ["touch", "voxel", "more", "fewer"])
def test_changed_files_are_converted_again(bold, tmp_path, change):
    ((sample, paths),) = samples_of(bold, tmp_path / "out")
    convert(sample, paths)
    before = (paths.store / "0/c/0/0/0/0").read_bytes()
    last = bold / "IM0012.dcm"
    if change == "touch":
        os.utime(last, (1, 1))
    elif change == "voxel":
        last.write_bytes(last.read_bytes()[:-2] + b"\xff\x7f")
    elif change == "more":
        dicoms.slices(bold, "bold", 2, times=4)
    else:
        for number in range(9, 13):
            (bold / f"IM{number:04d}.dcm").unlink()
    for cached in (dicom._images, dicom._state):
        cached.cache_clear()
    ((sample, paths),) = samples_of(bold, tmp_path / "out")
    assert sample.is_planned == (change == "touch")
    convert(sample, paths)
    assert sample.levels[0].shape[0] == {"more": 4, "fewer": 2}.get(change, 3)
    assert (paths.store / "0/c/0/0/0/0").read_bytes() == before
    for cached in (dicom._images, dicom._state):
        cached.cache_clear()
    ((sample, _),) = samples_of(bold, tmp_path / "again")
    fresh = samples_of(bold, tmp_path / "again")[0][1]
    convert(sample, fresh)
    last_chunk = f"0/c/{sample.levels[0].shape[0] - 1}/0/0/0"
    assert (paths.store / last_chunk).read_bytes() == (fresh.store / last_chunk).read_bytes()


def test_a_missing_slice_is_an_error(made, tmp_path):
    folder = shutil.copytree(made / "slices", tmp_path / "T1")
    (folder / "IM0002.dcm").unlink()
    with pytest.raises(SourceError, match=r"dcm2niix cannot convert .*Missing images"):
        open_source(folder)


def test_a_slice_that_is_cut_short_is_an_error(made, tmp_path):
    folder = shutil.copytree(made / "slices", tmp_path / "T1")
    file = folder / "IM0003.dcm"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SourceError, match="dcm2niix cannot convert"):
        open_source(folder)


def test_a_directory_without_images_is_an_error(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 50)
    with pytest.raises(SourceError, match="dcm2niix finds no image in it"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="dcm2niix finds no image in it"):
        open_source(tmp_path / "a.dcm")
    with pytest.raises(ConfigError, match=r"line 2: .*dcm2niix finds no image in it"):
        samples_of(tmp_path, tmp_path / "out")


def test_files_that_cannot_be_read_are_named(bold):
    (bold / "new\nline.dcm").write_bytes((bold / "IM0001.dcm").read_bytes())
    with pytest.raises(SourceError, match=r"new\\nline\.dcm'?: dcm2niix cannot read a file with"):
        dicom.images(str(bold), Layout())


def test_without_dcm2niix_the_extra_is_named(bold, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dcm2niix", None)
    monkeypatch.setenv("PATH", "")
    from neurozarr.sources import dcm2niix as program

    program._program.cache_clear()
    with pytest.raises(
        SourceError, match=r"dcm2niix, which is not installed: pip install 'dcm2niix>"
    ):
        dicom.images(str(bold), Layout())
    monkeypatch.undo()
    program._program.cache_clear()


def test_a_voxel_size_that_is_given_replaces_that_of_the_files(made):
    volume = open_source(made / "slices", voxel_size=(1, 2, 3), unit="um")
    assert (volume.voxel_size, volume.space_unit) == ((1, 2, 3), "micrometer")
    volume.close()
