"""Verification of stores that are damaged in different ways."""

import json
import shutil
from contextlib import suppress

import nibabel
import numpy as np
import pytest
import zarr

from neurozarr.errors import DamageError
from neurozarr.run import claims
from neurozarr.run.receipts import file_checksums
from neurozarr.samples import arguments
from neurozarr.steps.verify_store import summarize, verify_store
from neurozarr.verify.contents import header_problem

from .conversions import DRIVER, convert, paths_of

CONFIG = {"zarr": {"chunk": 16}}
VARIANTS = {
    "v3": CONFIG,
    "v2": {"zarr": {"chunk": 16, "zarr_version": 2, "compressor": "zlib"}},
    "shards": {"zarr": {"chunk": 8, "shard": 16}},
    "0.6": CONFIG | {"ome": {"ome_version": "0.6"}},
    "ome": CONFIG | {"nifti": {"nii": False}},
}


class Converted:
    """A converted image that can be verified."""

    def __init__(self, source, directory, config):
        self.store, self.sample = convert(source, directory, config)
        self.paths = paths_of(self.store)
        self.state, self.report = self.paths.state, self.paths.report
        self.has_header = self.sample.options["nifti"]["nii"]
        file = self.sample.levels[0].document["zarr_format"]
        self.file = {2: ".zarray", 3: "zarr.json"}[file]

    def verify(self, verify="full", driver=DRIVER):
        """Verify the store and return the report."""
        run = claims.Run(directory="here", repair="again FILES")
        claims.start([self.state], run, is_running=bool)
        told = arguments.verify_store(self.sample, self.paths) | {"driver": driver}
        with suppress(DamageError):  # The report has the same damages.
            verify_store(self.paths, verify=verify, **told, threads=2)
        return json.loads(self.report.read_text())

    def problems(self, verify="full"):
        """Verify the store and map the path of each damaged file to its problem."""
        found = self.verify(verify)
        assert found["sound"] is not bool(found["damage"])
        assert (self.state / "verify.json").exists() is found["sound"]
        if not found["sound"]:
            redo = dict.fromkeys(entry["repaired_by"] for entry in found["damage"])
            assert found["repair"] == f"again {' '.join(redo)}"
        start = f"{self.store}/"
        return {e["file"].removeprefix(start): e["problem"] for e in found["damage"]}


@pytest.fixture
def made(tmp_path, mri):
    return Converted(mri / "anatomical.nii", tmp_path, CONFIG)


@pytest.mark.parametrize("driver", ["tensorstore", "zarr-python"])
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_new_store_is_undamaged(tmp_path, mri, config, driver):
    made = Converted(mri / "anatomical.nii", tmp_path, config)
    assert made.verify(driver=driver)["sound"]
    assert (made.state / "verify.json").exists()
    levels = len(made.sample.levels)
    levels = "1 level" if levels == 1 else f"{levels} levels"
    start = f"{made.store}: no damage found by a full check of {levels}, "
    assert summarize([made.report]).startswith(start)


def test_nan_voxels_are_compared_by_their_bytes(tmp_path):
    voxels = np.random.default_rng(0).normal(size=(20, 20, 20)).astype("f4")
    voxels[3:9] = np.nan
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(tmp_path / "a.nii")
    assert Converted(tmp_path / "a.nii", tmp_path, CONFIG).problems() == {}


def test_quick_check_finds_a_missing_chunk(made):
    (made.store / "1/c/0/1/0").unlink()
    assert made.problems("quick") == {"1/c/0/1/0": "missing"}


def test_quick_check_finds_a_chunk_of_another_size(made):
    chunk = made.store / "0/c/0/0/0"
    chunk.write_bytes(chunk.read_bytes() + b"x")
    (problem,) = made.problems("quick").values()
    assert problem.endswith("were written")


@pytest.mark.parametrize("place", [0, 3, 9, -1])
def test_full_check_finds_a_flipped_bit(made, place):
    chunk = made.store / "0/c/1/0/0"
    content = bytearray(chunk.read_bytes())
    content[place] ^= 16
    chunk.write_bytes(content)
    assert made.problems("quick") == {}
    assert made.problems() == {"0/c/1/0/0": "its checksum differs from the recorded one"}


def test_level_made_from_other_voxels_is_found(made):
    array = zarr.open_array(made.store / "0", mode="r+", zarr_format=3)
    array[0, 0, 0] = array[0, 0, 0] + 100
    state = made.state / "0/block-0.json"
    receipt = json.loads(state.read_text())
    chunk = made.store / "0/c/0/0/0"
    assert set(made.problems()) == {"0/c/0/0/0"}
    # Change the receipt as if the job itself had written these bytes.
    receipt["sizes"][0], receipt["checksums"][:1] = chunk.stat().st_size, file_checksums([chunk])
    state.write_text(json.dumps(receipt))
    assert made.problems() == {
        "0": "the voxels in the region [[0, 25], [0, 41], [0, 33]] differ from those written",
        "1/c/0/0/0": "its voxels differ from those computed from the parent level",
    }


def test_deleted_level_does_not_hide_other_damages(made):
    shutil.rmtree(made.store / "1")
    (made.store / "0/c/0/0/0").unlink()
    assert made.problems() == {"0/c/0/0/0": "missing", "1/zarr.json": "missing"}


def test_changed_array_metadata_are_found(made):
    file = made.store / "2/zarr.json"
    file.write_text(file.read_text().replace('"separator": "/"', '"separator": "."'))
    problem = "the array's metadata differ from the plan"
    assert made.problems("quick") == {"2/zarr.json": problem}
    file.write_text("{")
    assert "cannot be read" in made.problems("quick")["2/zarr.json"]


@pytest.mark.parametrize("content", ["{}", "", "[]", '{"attributes": {"ome": 3}}'])
def test_invalid_group_metadata_are_found(made, content):
    (made.store / "zarr.json").write_text(content)
    (problem,) = made.problems("quick").values()
    assert "metadata" in problem


def test_invalid_display_window_is_found(made):
    file = made.store / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["ome"]["omero"]["channels"][0]["window"]["max"] = "high"
    file.write_text(json.dumps(document))
    (problem,) = made.problems("quick").values()
    assert "the metadata are not valid" in problem


def describe_anew(folder):
    array = zarr.open_array(folder, mode="r+", zarr_format=3)
    header = array[:]
    header[148] ^= 1  # The description.
    array[:] = header


def name_anew(folder):
    text = (folder / "zarr.json").read_text()
    (folder / "zarr.json").write_text(text.replace('"VoxelSize"', '"voxelsize"'))


@pytest.mark.parametrize(
    ("change", "file", "quick", "full"),
    [
        (shutil.rmtree, "nifti/c/0", "missing", "the NIfTI header cannot be read"),
        (
            describe_anew,
            "nifti/c/0",
            "its checksum differs from the recorded one",
            "differs from the plan",
        ),
        (name_anew, "nifti/zarr.json", "its checksum differs from the recorded one", "JSON form"),
    ],
)
def test_changed_header_is_found(made, change, file, quick, full):
    change(made.store / "nifti")
    assert made.problems("quick")[file] == quick
    assert full in made.problems("full")["nifti"]


def test_header_that_does_not_match_level_0_is_found(made):
    checksum = made.sample.planned["header_checksum"]
    folders = made.store / "nifti", made.store / "1"
    problem = header_problem(*folders, checksum=checksum, axes="zyx", driver=DRIVER)
    assert problem == "the NIfTI header does not match the shape or data type of level 0"


def test_lost_or_outdated_header_receipt_is_found(made):
    receipt = made.state / "header.json"
    known = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(known | {"header": 1}))
    assert made.problems("quick") == {"nifti": "the NIfTI header differs from the plan"}
    receipt.unlink()
    (problem,) = made.problems("quick").values()
    assert "the receipt of the NIfTI header cannot be read" in problem
