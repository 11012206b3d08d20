"""Whole runs of BIDS data sets: tree, metadata beside stores, description of the derivative."""

import json

import pytest

import neurozarr

from ..runs import Workflow
from ..unit.bids_sets import data_set, image, text

T1W = "sub-01/ses-1/anat/sub-01_ses-1_T1w"
DWI = "sub-01/ses-1/dwi/sub-01_ses-1_dwi"


@pytest.fixture(params=[True, False], ids=["bundled", "alone"])
def bids(request, make_workflow):
    """A data set with two sessions, not yet converted."""
    made = make_workflow({"source": "bids", "zarr": {"chunk": 8}, "bids": {"subject": "01"}})
    made.bundle = request.param
    root = data_set(made.directory / "bids", f"{T1W}.nii.gz", f"{DWI}.nii.gz", Name="Mine")
    image(root / f"{T1W.replace('ses-1', 'ses-2')}.nii.gz")
    image(root / "sub-02/anat/sub-02_T1w.nii.gz")
    text(root / "T1w.json", {"EchoTime": 1, "Site": "A"})
    text(root / "sub-01/sub-01_T1w.json", {"EchoTime": 2})
    text(root / "dwi.bval", "0\n")
    text(root / "dwi.bvec", "0\n0\n0\n")
    return made


def test_tree_metadata_and_description_follow_the_data_set(bids):
    bids("all", "export")
    out = bids.output
    files = {str(path.relative_to(out)) for path in out.rglob("*") if "zarr" not in str(path)}
    other = T1W.replace("ses-1", "ses-2")
    assert {file for file in files if (out / file).is_file()} == {
        ".bidsignore",
        ".state/dataset.json",
        "dataset_description.json",
        *(f"{name}.json" for name in (T1W, other)),
        *(f"{DWI}{ending}" for ending in (".bval", ".bvec")),
        *(f"verify/{name}.json" for name in (T1W, other, DWI)),
        *(f"nifti/{name}_level-0.nii.gz" for name in (T1W, other, DWI)),
    }
    assert json.loads((out / f"{T1W}.json").read_text()) == {"EchoTime": 2, "Site": "A"}
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert bids.group(T1W)["ome"]["multiscales"][0]["name"] == "sub-01_ses-1_T1w"
    assert (bids.directory / "logs" / T1W).is_dir()
    assert "Nothing to be done" in bids().output
    assert bids("verify").code == 0


def test_only_what_changed_is_written_again(bids):
    bids()
    stores = [bids.tree(T1W), bids.tree(DWI)]
    own = {"convert_bundle"} if bids.bundle else {"write_sidecars"}
    text(bids.directory / "bids/dwi.bval", "1000\n")
    (bids.output / f"{T1W}.json").unlink()
    (bids.output / "dataset_description.json").unlink()
    assert bids().jobs == own | {"describe_dataset"}
    assert (bids.output / f"{DWI}.bval").read_text() == "1000\n"
    assert (bids.output / f"{T1W}.json").exists()
    assert (bids.output / "dataset_description.json").exists()
    assert [bids.tree(T1W), bids.tree(DWI)] == stores
    text(bids.output / f"{DWI}.bval", "mine")
    text(bids.output / "dataset_description.json", {"mine": True})
    assert "Nothing to be done" in bids().output
    text(bids.directory / "bids/dwi.bval", "2000\n")
    assert bids().jobs == own
    assert "Nothing to be done" in bids().output
    assert (bids.output / f"{DWI}.bval").read_text() == "mine"


@pytest.mark.parametrize("name", ["dataset_description.json", f"{T1W}.json"])
def test_files_of_others_are_kept(bids, name):
    text(bids.output / name, "mine")
    run = bids(check=False)
    assert run.code
    assert f"{name} was not written by this workflow" in run.output
    assert (bids.output / name).read_text() == "mine"
    assert not bids.store(DWI).exists()


def test_killed_run_of_a_tree_is_completed(bids, tmp_path):
    bids.config["bids"] |= {"session": "1"}
    bids.kill_when(lambda: any(bids.output.glob("sub-01/ses-*/*/*.zarr/0/c")))
    bids()
    assert "Nothing to be done" in bids().output
    assert (bids.output / f"{DWI}.bvec").exists()
    for name in (T1W, DWI):
        source = bids.directory / f"bids/{name}.nii.gz"
        store = neurozarr.convert(source, tmp_path / "flat", zarr={"chunk": 8})
        assert bids.tree(name) == Workflow(bids.root, tmp_path, {"output": "flat"}).tree(
            store.name.split(".")[0]
        )


def test_glob_keeps_its_tree_and_labels_are_found(make_workflow):
    made = make_workflow({"source": "in/**/*.nii.gz", "output_tree": True, "zarr": {"chunk": 8}})
    for path in ("in/a/x.nii.gz", "in/b/labels/x.nii.gz", "in/b.nii.gz"):
        image(made.directory / path)
    made("all", "export")
    for name in ("a/x", "b/labels/x", "b"):
        assert made.tree(name)
        assert (made.output / f"nifti/{name}_level-0.nii.gz").exists()
        assert (made.directory / f"logs/{name}/export_nifti_0.log").exists()
    assert "Nothing to be done" in made().output
    made("results/b/labels/x.nii.zarr/zarr.json", "--force")
    assert "there is no sample 'b/x'" in made("results/b/x.nii.zarr/zarr.json", check=False).output
