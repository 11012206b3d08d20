"""What a second run does: on real runs, and by dry run."""

import json
import os
import shutil
import threading
import time

import nibabel
import numpy as np
import pytest

BASE = {"create_array/0", "write_base"}
LEVELS = {"create_array/1", "create_array/2", "pyramid_level/1", "pyramid_level/2"}
METADATA = {"ome_metadata", "nifti_header", "verify_store"}
EVERYTHING = BASE | LEVELS | METADATA


class Watcher(threading.Thread):
    """A reader that looks at a store all the time, and keeps what it sees published."""

    def __init__(self, workflow):
        super().__init__(daemon=True)
        self.workflow, self.seen, self.running = workflow, [], True

    def published(self):
        """Whether image and header are there, and since when."""
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
    """The jobs of a run with some options changed; nothing in between is ever published."""
    old = workflow.tree()
    for group, options in changes.items():
        workflow.config.setdefault(group, {}).update(options)
    with Watcher(workflow) as watcher:
        ran = workflow()
    new = workflow.tree()
    assert all(tree in (old, new) for tree in watcher.seen), "a mixed image was published"
    return ran.jobs


def test_a_dry_run_says_what_a_run_does_and_nothing_is_left_after_it(converted):
    assert converted("--dry-run").jobs == set()
    converted.config["ome"] = {"name": "brain"}
    old = converted.tree()
    planned = converted("--dry-run").jobs
    assert converted.tree() == old
    assert converted().jobs == planned
    assert converted().jobs == set()


def test_a_touched_source_of_the_same_content_is_not_converted_again(converted):
    os.utime(converted.directory / "anatomical.nii")
    assert converted("--dry-run").jobs == set()


def test_a_new_pyramid_mode_redoes_the_levels_and_going_back_does_too(converted, fresh):
    mean = converted.tree()
    assert rerun(converted, pyramid={"mode": "median"}) == LEVELS | METADATA
    assert converted.tree() == fresh(converted) != mean
    assert rerun(converted, pyramid={"mode": "mean"}) == LEVELS | METADATA
    assert converted.tree() == mean


def test_a_new_name_redoes_metadata_and_header_alone(converted):
    assert rerun(converted, ome={"name": "brain"}) == METADATA
    attributes = json.loads((converted.store() / "zarr.json").read_text())["attributes"]
    assert attributes["ome"]["multiscales"][0]["name"] == "brain"


def test_a_new_voxel_size_redoes_metadata_and_header_alone(converted):
    sheet = converted.directory / "samples.tsv"
    sheet.write_text("sample\tsource\tvoxel_size\nanatomical\tanatomical.nii\t\n")
    converted.config["samples"] = sheet.name
    del converted.config["source"]
    assert rerun(converted) == set()
    sheet.write_text("sample\tsource\tvoxel_size\nanatomical\tanatomical.nii\t1,2,3\n")
    assert rerun(converted) == METADATA
    attributes = json.loads((converted.store() / "nifti/zarr.json").read_text())["attributes"]
    assert attributes["VoxelSize"] == [3, 2, 1]


def test_a_new_chunk_shape_redoes_everything_and_leaves_no_old_chunk(converted, fresh):
    jobs = rerun(converted, zarr={"chunk": 32})
    assert jobs > BASE | METADATA
    assert converted.tree() == fresh(converted)


def test_fewer_levels_leave_no_old_level_and_more_come_back(converted, fresh):
    three = converted.tree()
    assert rerun(converted, pyramid={"levels": 1}) == METADATA
    assert not (converted.store() / "2").exists()
    assert converted.tree() == fresh(converted)
    jobs = rerun(converted, pyramid={"levels": 2})
    assert jobs == {"create_array/2", "pyramid_level/2"} | METADATA
    assert converted.tree() == three


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_a_deleted_level_is_rebuilt(converted, level):
    whole = converted.tree()
    shutil.rmtree(converted.store() / level)
    jobs = converted().jobs
    assert f"create_array/{level}" in jobs
    assert converted.tree() == whole


def test_a_deleted_store_is_rebuilt(converted):
    whole = converted.tree()
    shutil.rmtree(converted.store())
    assert converted().jobs == EVERYTHING
    assert converted.tree() == whole


def test_a_changed_source_redoes_its_sample_alone(workflow):
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


def test_a_format_that_changes_leaves_nothing_of_the_old_one(converted, fresh):
    converted.config["zarr"]["zarr_version"] = 2
    converted()
    assert not list(converted.store().rglob("zarr.json"))
    assert converted.tree() == fresh(converted)
