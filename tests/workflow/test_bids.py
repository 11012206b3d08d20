"""Whole runs of BIDS data sets: tree, metadata beside stores, description of the derivative."""

import json

import nibabel
import numpy as np
import PIL.Image
import pytest

import neurozarr

from ..runs import Workflow
from ..unit.bids_sets import data_set, image, text

T1W = "sub-01/ses-1/anat/sub-01_ses-1_T1w"
OTHER = "sub-01/ses-2/anat/sub-01_ses-2_T1w"
DWI = "sub-01/ses-1/dwi/sub-01_ses-1_dwi"


@pytest.fixture
def bids(make_workflow):
    """A data set with two sessions, not yet converted."""
    made = make_workflow({"source": "bids", "zarr": {"chunk": 8}, "bids": {"subject": "01"}})
    made.bundle = True
    images = [f"{name}.nii.gz" for name in (T1W, OTHER, DWI, "sub-02/anat/sub-02_T1w")]
    root = data_set(made.directory / "bids", *images)
    text(root / "T1w.json", {"EchoTime": 1, "Site": "A"})
    text(root / "sub-01/sub-01_T1w.json", {"EchoTime": 2})
    text(root / "dwi.bval", "0\n")
    text(root / "dwi.bvec", "0\n0\n0\n")
    return made


def test_tree_metadata_and_description_follow_the_data_set(bids):
    bids("all", "export")
    out = bids.output
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {file for file in found if ".zarr" not in file and ".state" not in file} == {
        ".bidsignore",
        "dataset_description.json",
        *(f"{name}.json" for name in (T1W, OTHER)),
        *(f"{DWI}{ending}" for ending in (".bval", ".bvec")),
        *(f"verify/{name}.json" for name in (T1W, OTHER, DWI)),
        *(f"nifti/{name}_level-0.nii.gz" for name in (T1W, OTHER, DWI)),
    }
    assert json.loads((out / f"{T1W}.json").read_text()) == {"EchoTime": 2, "Site": "A"}
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert bids.group(T1W)["ome"]["multiscales"][0]["name"] == "sub-01_ses-1_T1w"
    assert (bids.directory / f"logs/{T1W}/convert.log").exists()
    (out / f"{OTHER}.json").unlink()
    (bids.directory / "bids/dwi.bval").unlink()
    assert bids().jobs == {"convert_bundle"}
    assert (out / f"{OTHER}.json").exists()
    assert not (out / f"{DWI}.bval").exists()
    assert "Nothing to be done" in bids().output


def test_only_what_changed_is_written_again(bids, tmp_path):
    bids.bundle = False
    bids.config["bids"] = {"suffix": "dwi"}
    store = neurozarr.convert(bids.directory / f"bids/{DWI}.nii.gz", tmp_path, zarr={"chunk": 8})
    whole = Workflow(bids.root, tmp_path, {"output": "."}).tree(store.name.split(".")[0])
    bids.kill_when(lambda: any(bids.output.glob("sub-01/ses-*/*/*.zarr/0/c")))
    bids()
    assert bids.tree(DWI) == whole
    bval = bids.output / f"{DWI}.bval"
    text(bids.directory / "bids/dwi.bval", "1000\n")
    (bids.output / "dataset_description.json").unlink()
    assert bids().jobs == {"write_sidecars", "describe_dataset"}
    assert bval.read_text() == "1000\n"
    assert (bids.output / "dataset_description.json").exists()
    assert bids.tree(DWI) == whole
    text(bval, "mine")
    text(bids.output / "dataset_description.json", {"mine": True})
    text(bids.directory / "bids/dwi.bval", "2000\n")
    assert bids().jobs == {"write_sidecars"}
    for name in ("dwi.bval", "dwi.bvec"):
        (bids.directory / "bids" / name).unlink()
    assert bids().jobs == {"write_sidecars"}
    assert bval.read_text() == "mine"
    assert not (bids.output / f"{DWI}.bvec").exists()
    assert "Nothing to be done" in bids().output


@pytest.mark.parametrize("name", ["dataset_description.json", f"{T1W}.json"])
def test_files_of_others_are_kept(bids, name):
    text(bids.output / name, "mine")
    run = bids(check=False)
    assert run.code
    assert f"{name} was not written by this workflow" in run.output
    assert (bids.output / name).read_text() == "mine"
    assert not bids.store(DWI).exists()


def test_glob_keeps_its_tree(make_workflow):
    made = make_workflow({"source": "in/**/*.nii.gz", "output_tree": True, "zarr": {"chunk": 8}})
    made.bundle = True
    for name in ("b/labels/x", "b"):
        image(made.directory / f"in/{name}.nii.gz")
    made("all", "export")
    for name in ("b/labels/x", "b"):
        assert made.tree(name)
        assert (made.output / f"nifti/{name}_level-0.nii.gz").exists()
        assert (made.directory / f"logs/{name}/export_nifti_0.log").exists()
    assert "there is no sample 'b/x'" in made("results/b/x.nii.zarr/zarr.json", check=False).output


def test_pixel_size_of_microscopy_is_in_the_metadata_of_bids(make_workflow):
    name = "sub-01/micr/sub-01_sample-A_SEM"
    made = make_workflow({"source": "bids", "zarr": {"chunk": 8}})
    root = data_set(made.directory / "bids")
    metadata = text(root / "SEM.json", {"PixelSize": [0.25, 0.5], "PixelSizeUnits": "um"})
    (root / name).parent.mkdir(parents=True)
    PIL.Image.fromarray(np.arange(60, dtype="u1").reshape(6, 10)).save(root / f"{name}.png")
    made("all", "export")
    (image,) = made.group(name)["ome"]["multiscales"]
    assert [axis.get("unit") for axis in image["axes"]] == ["micrometer"] * 3
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"][1:] == [0.5, 0.25]
    header = nibabel.load(made.output / f"nifti/{name}_level-0.nii.gz").header
    assert header.get_zooms()[:2] == (0.25, 0.5)
    assert header.get_xyzt_units()[0] == "micron"
    voxels = made.tree(name)
    text(metadata, {"PixelSize": [0.5, 1], "PixelSizeUnits": "um"})
    made()
    assert {file for file, content in made.tree(name).items() if voxels[file] != content} == {
        "zarr.json",
        "nifti/c/0",
        "nifti/zarr.json",
    }
