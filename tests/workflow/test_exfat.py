"""Output on exFAT, as on portable disks: no links, no difference of upper and lower case."""

import shutil

import pytest

from .. import disks


@pytest.fixture
def on_exfat(workflow, tmp_path):
    """A conversion whose output is on such a disk."""
    workflow.config["output"] = "disk/results"
    image = disks.make("exfat", tmp_path / "image")
    with disks.mounted(image, workflow.directory / "disk", "exfat"):
        yield workflow


def test_store_has_the_same_files(on_exfat, fresh):
    on_exfat.kill_when((on_exfat.store() / "0/c").exists)
    on_exfat()
    assert on_exfat.tree() == fresh(on_exfat)
    assert on_exfat("--dry-run").jobs == set()


def test_names_that_differ_only_in_case_are_refused(on_exfat):
    folder = on_exfat.directory
    (folder / "one").mkdir()
    shutil.copy(folder / "anatomical.nii", folder / "one/A.nii")
    shutil.copy(folder / "anatomical.nii", folder / "a.nii")
    on_exfat.config["source"] = ["one/A.nii", "a.nii"]
    run = on_exfat(check=False)
    assert run.code == 1
    assert "samples A and a: the file system of the output does not tell apart" in run.output
    assert not list(on_exfat.output.glob("*.zarr"))
    on_exfat.config["output"] = "elsewhere"
    on_exfat()
    assert on_exfat.store("a").exists()
    assert on_exfat.store("A").exists()
