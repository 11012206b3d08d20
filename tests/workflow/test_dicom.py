"""Whole runs of DICOM series: planned before they are converted, and converted once."""

import shutil

import nibabel
import numpy as np
import pytest

from ..unit import dicoms


@pytest.fixture
def scans(make_workflow):
    """Four images of three directories, not yet converted."""
    made = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 8}})
    made.bundle = True
    dicoms.series(made.directory / "in/bold")
    dicoms.slices(made.directory / "in/a b/T1")
    dicoms.echoes(made.directory / "in/gre")
    lines = ["sample\tsource\tdataset", "bold\tin/bold\t", "T1\tin/a b\tT1w", "all\tin/gre\t*"]
    (made.directory / "sheet.tsv").write_text("\n".join(lines))
    return made


NAMES = ("bold", "T1", "all_5_echoes_e1", "all_5_echoes_e2")


def trees(workflow):
    return {name: workflow.tree(name) for name in NAMES}


def test_images_are_converted_once_and_only_what_changed_again(scans):
    assert scans("--dry-run").jobs == {"convert_bundle"}
    assert not scans.output.exists()
    assert scans().jobs == {"convert_bundle"}
    stores = trees(scans)
    assert all(stores.values())
    assert (scans.output / "bold.json").exists()
    for file in scans.directory.rglob("*"):  # Logs and Snakemake's own records, too.
        if file.is_file() and scans.directory / "in" not in file.parents:
            content = file.read_bytes()
            assert not [secret for secret in dicoms.SECRETS if secret.encode() in content], file
    assert "Nothing to be done" in scans().output
    dicoms.series(scans.directory / "in/more")
    shutil.copytree(scans.directory / "in/more", scans.directory / "in/gre/more")
    scans()
    assert trees(scans) == stores
    assert scans.tree("all_2_bold")["0/zarr.json"] == stores["bold"]["0/zarr.json"]


def test_images_are_exported_with_their_place_and_time(scans):
    scans.config["export"] = {"levels": [0, 1]}
    run = scans("all", "export")
    assert (
        "its coarsest level is known after its conversion: run again; not exported: 1" in run.output
    )
    assert scans("export").jobs == {"export", "export_nifti/1"}
    image = nibabel.load(scans.output / "nifti/bold_level-0.nii.gz")
    assert image.shape == (16, 16, 4, 3)
    np.testing.assert_allclose(image.header.get_zooms(), (2, 3, 4, 2))
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_a_run_that_is_killed_is_completed_with_the_same_bytes(scans):
    scans()
    stores = trees(scans)
    shutil.rmtree(scans.output)
    scans.kill_when(lambda: any(scans.state.glob("*/dicom")))
    scans("--rerun-incomplete")
    assert trees(scans) == stores
    assert not list(scans.state.glob("*/dicom"))


def test_a_bad_series_stops_only_itself(scans):
    (scans.directory / "in/a b/T1/IM0002.dcm").unlink()
    run = scans(check=False)
    assert run.code == 1
    assert "sample T1: SourceError: in/a b: dcm2niix cannot convert series 1: " in run.output
    assert not scans.store("T1").exists()
    assert all(scans.store(name).exists() for name in NAMES if name != "T1")


def test_files_of_others_are_refused_before_any_work(scans):
    scans.output.mkdir()
    (scans.output / "T1.json").write_text("mine")
    run = scans("--dry-run", check=False)
    assert run.code == 1
    assert "sample T1: results/T1.json was not written by this workflow" in run.output


def test_several_images_without_a_dataset_are_listed(scans):
    scans.config = {"source": "in/gre"}
    run = scans(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    assert "in/gre: 2 images; name one in dataset by words of this table" in run.output
    assert "echoes       e2    magnitude" in run.output


def test_steps_of_their_own_are_not_asked_for_before_the_conversion(scans):
    run = scans("--until", "write_base", check=False)
    assert run.code == 1
    assert "sample bold: dcm2niix has not converted in/bold yet: run first without" in run.output
