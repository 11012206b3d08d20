"""The steps of a conversion, one by one: what they refuse, and what they leave."""

import json
import shutil

import pytest

from neurozarr.errors import ReceiptError
from neurozarr.samples import read_run
from neurozarr.steps.create_array import create_array
from neurozarr.steps.nifti_header import publish_header
from neurozarr.steps.ome_metadata import publish_image
from neurozarr.steps.pyramid_level import write_level
from neurozarr.steps.write_base import write_base

DRIVER = "zarr-python"


class Steps:
    """A conversion whose steps are run by hand."""

    def __init__(self, sample, directory):
        self.sample, self.store = sample, directory / "a.nii.zarr"
        self.state = directory / ".state"

    def array(self, level):
        return self.store / str(level)

    def receipts(self, level):
        return [self.state / str(level) / name for name in ("array.json", "voxels.json")]

    def create(self, level):
        document = self.sample.levels[level].document
        create_array(self.array(level), document, receipt=self.receipts(level)[0])

    def write(self, level):
        array_receipt, receipt = self.receipts(level)
        options = {"driver": DRIVER, "threads": 2}
        options |= {"array_receipt": array_receipt, "receipt": receipt}
        if level:
            write_level(self.array(level - 1), self.array(level), mode="mean", **options)
        else:
            write_base(self.sample.path, self.array(0), axes=None, **options)

    def publish(self):
        levels = [
            (self.array(level) / "zarr.json", *self.receipts(level))
            for level in range(len(self.sample.levels))
        ]
        publish_image(self.store, self.sample.attributes, levels=levels)
        publish_header(
            self.sample.path,
            self.store,
            overrides=self.sample.overrides,
            driver=DRIVER,
            staging=self.state / "header",
        )

    def is_published(self):
        return (self.store / "zarr.json").exists() or (self.store / "nifti").exists()


@pytest.fixture
def steps(root, tmp_path, mri):
    source = shutil.copy(mri / "anatomical.nii", tmp_path)
    config = {"source": str(source), "zarr": {"chunk": 16}}
    sample = read_run(config, root / "config/schemas")[1]["anatomical"]
    made = Steps(sample, tmp_path)
    for level in range(3):
        made.create(level)
        made.write(level)
    made.publish()
    return made


@pytest.mark.parametrize("step", ["create", "write"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_image_is_unpublished_before_a_level_changes(steps, step, level):
    assert steps.is_published()
    getattr(steps, step)(level)
    assert not steps.is_published()


def test_a_missing_chunk_is_named_and_nothing_is_published(steps):
    (steps.array(1) / "c/0/0/0").unlink()
    with pytest.raises(ReceiptError, match=r"a\.nii\.zarr/1: 1 chunk files, but there must be 2"):
        steps.publish()
    assert not steps.is_published()


def test_a_chunk_that_was_cut_short_is_found(steps):
    chunk = steps.array(0) / "c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(ReceiptError, match=r"/0: \d+ bytes in chunk files, but \d+ were written"):
        steps.publish()


def test_every_level_that_is_wrong_is_named(steps):
    (steps.array(0) / "c/0/0/0").unlink()
    shutil.rmtree(steps.array(2))
    with pytest.raises(ReceiptError, match=r"/0: 17 chunk files.*; .*/2: the array is missing"):
        steps.publish()


def test_voxels_of_an_older_array_are_not_taken_for_those_of_the_present_one(steps):
    old = steps.array(1).rename(steps.store.parent / "old")
    steps.create(1)
    shutil.rmtree(steps.array(1))
    old.rename(steps.array(1))
    with pytest.raises(ReceiptError, match="the voxels were written into an older array"):
        steps.publish()


def test_writing_again_leaves_nothing_of_an_interrupted_write(steps):
    litter = steps.array(0) / "c/0/0/0.123.partial"
    litter.write_bytes(b"half a chunk")
    (steps.array(0) / "zarr.json.tmp").write_text("{")
    steps.write(0)
    names = {path.name for path in steps.array(0).iterdir()}
    assert names == {"zarr.json", "c"}
    assert not litter.exists()


def test_publishing_deletes_levels_that_are_no_part_of_the_image(steps):
    shutil.copytree(steps.array(2), steps.array(3))
    steps.publish()
    assert {path.name for path in steps.store.iterdir()} == {"0", "1", "2", "nifti", "zarr.json"}


def test_a_receipt_says_how_much_was_written(steps):
    receipt = json.loads(steps.receipts(0)[1].read_text())
    files = [path for path in (steps.array(0) / "c").rglob("*") if path.is_file()]
    assert receipt["files"] == len(files) == 18
    assert receipt["bytes"] == sum(path.stat().st_size for path in files)
