"""What a second run redoes, in real runs and dry runs."""

import json
import os
import shutil
import threading
import time

import nibabel
import numpy as np
import pytest

BASE = {"create_array/0", "write_base"}
LEVELS = {"pyramid_level/2"}  # One job creates and writes both coarse levels.
METADATA = {"ome_metadata", "nifti_header", "verify_store"}
EVERYTHING = BASE | LEVELS | METADATA


class Watcher(threading.Thread):
    """A reader that watches a store all the time and records when it is published."""

    def __init__(self, workflow):
        super().__init__(daemon=True)
        self.workflow, self.seen, self.running = workflow, [], True

    def published(self):
        """Modification time of the group's metadata; None if the image is not published."""
        store = self.workflow.store()
        try:
            group = store / "zarr.json"
            (store / "nifti" / "zarr.json").stat()
            return group.stat().st_mtime_ns if "multiscales" in group.read_text() else None
        except FileNotFoundError:
            return None

    def run(self):
        while self.running:
            before = self.published()
            try:
                tree = self.workflow.tree()
            except FileNotFoundError:
                continue
            if before is not None and before == self.published() and tree not in self.seen:
                self.seen.append(tree)
            time.sleep(0.01)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.join()


def rerun(workflow, **changes):
    """Run with changed options, check that nothing incomplete is published, return the jobs."""
    old = workflow.tree()
    for group, options in changes.items():
        workflow.config.setdefault(group, {}).update(options)
    with Watcher(workflow) as watcher:
        ran = workflow()
    new = workflow.tree()
    assert all(tree in (old, new) for tree in watcher.seen), "a mixed image was published"
    return ran.jobs


def test_dry_run_lists_the_jobs_of_the_run(converted):
    assert converted("--dry-run").jobs == set()
    converted.config["ome"] = {"name": "brain"}
    old = converted.tree()
    planned = converted("--dry-run").jobs
    assert converted.tree() == old
    assert converted().jobs == planned
    assert converted().jobs == set()


def test_touched_source_is_not_converted_again(converted):
    os.utime(converted.directory / "anatomical.nii")
    assert converted("--dry-run").jobs == set()


def test_new_pyramid_mode_redoes_the_levels(converted, fresh):
    mean = converted.tree()
    assert rerun(converted, pyramid={"mode": "median"}) == LEVELS | METADATA
    assert converted.tree() == fresh(converted) != mean
    assert rerun(converted, pyramid={"mode": "mean"}) == LEVELS | METADATA
    assert converted.tree() == mean


def test_new_name_redoes_only_metadata_and_header(converted):
    assert rerun(converted, ome={"name": "brain"}) == METADATA
    attributes = json.loads((converted.store() / "zarr.json").read_text())["attributes"]
    assert attributes["ome"]["multiscales"][0]["name"] == "brain"


def test_new_voxel_size_redoes_only_metadata_and_header(converted):
    sheet = converted.directory / "samples.tsv"
    sheet.write_text("sample\tsource\tvoxel_size\nanatomical\tanatomical.nii\t\n")
    converted.config["samples"] = sheet.name
    del converted.config["source"]
    assert rerun(converted) == set()
    sheet.write_text("sample\tsource\tvoxel_size\nanatomical\tanatomical.nii\t3,2,2.5\n")
    assert rerun(converted) == METADATA
    attributes = json.loads((converted.store() / "nifti/zarr.json").read_text())["attributes"]
    assert attributes["VoxelSize"] == [2.5, 2, 3]


def test_new_chunk_shape_leaves_no_old_chunk(converted, fresh):
    jobs = rerun(converted, zarr={"chunk": 32})
    assert jobs > BASE | METADATA
    assert converted.tree() == fresh(converted)


def test_number_of_levels_can_be_changed(converted, fresh):
    three = converted.tree()
    assert rerun(converted, pyramid={"levels": 1}) == METADATA
    assert not (converted.store() / "2").exists()
    assert converted.tree() == fresh(converted)
    jobs = rerun(converted, pyramid={"levels": 2})
    assert jobs == LEVELS | METADATA
    assert converted.tree() == three


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_deleted_level_is_rebuilt(converted, level):
    whole = converted.tree()
    shutil.rmtree(converted.store() / level)
    jobs = converted().jobs
    assert jobs == EVERYTHING if level == "0" else LEVELS | METADATA
    assert converted.tree() == whole


@pytest.mark.parametrize("file", ["1/block-0.json", "2/array.json"])
def test_lost_or_damaged_receipt_of_a_coarse_level_redoes_the_coarse_levels(converted, file):
    """One job makes them, of whose files Snakemake knows only one."""
    whole, receipt = converted.tree(), converted.state / "anatomical.nii.zarr" / file
    if file.startswith("1"):
        receipt.unlink()
    else:
        receipt.write_text("{")
    assert converted().jobs == LEVELS | METADATA
    assert converted.tree() == whole
    assert converted("--dry-run").jobs == set()


def test_deleted_store_is_rebuilt(converted):
    whole = converted.tree()
    shutil.rmtree(converted.store())
    assert converted().jobs == EVERYTHING
    assert converted.tree() == whole


def test_changed_source_redoes_only_its_sample(workflow):
    other = workflow.directory / "other.nii"
    shutil.copy(workflow.directory / "anatomical.nii", other)
    workflow.config["source"] = "*.nii"
    workflow()
    untouched = workflow.tree("other")
    image = nibabel.load(workflow.directory / "anatomical.nii")
    changed = np.asarray(image.dataobj.get_unscaled())[::-1].copy()
    nibabel.Nifti1Image(changed, image.affine).to_filename(workflow.directory / "anatomical.nii")
    run = workflow()
    assert run.jobs == EVERYTHING
    assert "sample=other" not in run.output
    assert workflow.tree("other") == untouched


def test_new_zarr_version_leaves_no_old_file(converted, fresh):
    converted.config["zarr"]["zarr_version"] = 2
    converted()
    assert not list(converted.store().rglob("zarr.json"))
    assert converted.tree() == fresh(converted)
