"""The steps of a conversion, run one by one: their results and errors."""

import json
import shutil
import subprocess
import sys

import pytest

from neurozarr.errors import ReceiptError
from neurozarr.run import ownership
from neurozarr.samples import arguments
from neurozarr.samples.reading import read_run
from neurozarr.steps.create_array import create_array
from neurozarr.steps.nifti_header import publish_header
from neurozarr.steps.ome_metadata import make_metadata
from neurozarr.steps.pyramid_level import write_level
from neurozarr.steps.write_base import write_base


class Steps:
    """A conversion whose steps are run separately."""

    def __init__(self, sample, paths):
        self.sample, self.paths = sample, paths
        self.store, self.state = paths.store, paths.state

    def array(self, level):
        return self.paths.level(level).folder

    def receipts(self, level):
        place = self.paths.level(level)
        return [place.array_receipt, place.block_receipt(0)]

    def create(self, level):
        told = arguments.create_array(self.sample, self.paths, level=level)
        create_array(self.paths, level, **told)

    def write(self, level):
        if level:
            told = arguments.pyramid_level(self.sample, self.paths, level=level, block=0)
            write_level(self.paths, level, 0, **told, threads=2)
        else:
            told = arguments.write_base(self.sample, self.paths, block=0)
            write_base(self.paths, 0, **told, threads=2)

    def publish(self):
        make_metadata(self.paths, **arguments.ome_metadata(self.sample, self.paths))
        publish_header(self.paths, **arguments.nifti_header(self.sample, self.paths))

    def is_published(self):
        return (self.store / "zarr.json").exists() or (self.store / "nifti").exists()


@pytest.fixture
def steps(tmp_path, mri):
    source = shutil.copy(mri / "anatomical.nii", tmp_path)
    zarr = {"chunk": 16, "driver": "zarr-python"}
    run, samples = read_run({"source": str(source), "output": str(tmp_path), "zarr": zarr})
    made = Steps(samples["anatomical"], run.paths("anatomical"))
    for level in range(3):
        made.create(level)
        made.write(level)
    made.publish()
    return made


@pytest.mark.parametrize("step", ["create", "write"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_image_is_unpublished_before_a_level_changes(steps, step, level):
    assert steps.is_published()
    getattr(steps, step)(level)
    assert not steps.is_published()


def test_missing_chunk_is_named_and_nothing_is_published(steps):
    (steps.array(1) / "c/0/0/0").unlink()
    with pytest.raises(
        ReceiptError,
        match=r"zarr/1/c/0/0/0: missing\. Run again with --forcerun .*/2/block-0.json$",
    ):
        steps.publish()
    assert not steps.is_published()


def test_truncated_chunk_is_found(steps):
    chunk = steps.array(0) / "c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(ReceiptError, match=r"/0/c/0/0/0: \d+ bytes, but \d+ were written"):
        steps.publish()


def test_every_damaged_level_is_named(steps):
    (steps.array(0) / "c/0/0/0").unlink()
    shutil.rmtree(steps.array(2))
    with pytest.raises(ReceiptError, match=r"/0/c/0/0/0: missing; .*/2: the array is missing"):
        steps.publish()


def test_block_of_an_older_array_is_found(steps):
    old = steps.array(2).rename(steps.store.parent / "old")
    receipt = steps.receipts(2)[1]
    known = receipt.read_bytes()
    steps.create(2)
    shutil.rmtree(steps.array(2))
    old.rename(steps.array(2))
    receipt.write_bytes(known)
    with pytest.raises(ReceiptError, match="a block was written into an older array"):
        steps.publish()


def test_publishing_deletes_unfinished_files(steps):
    partial = f"c/0/0/0.{'0a' * 16}.partial"
    for name in (partial, "c/0/0/0.__lock", "zarr.json.tmp", "zarr.json.0a1b.tmp"):
        path = steps.array(0) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a chunk")
    steps.publish()
    found = {p.relative_to(steps.array(0)).as_posix() for p in steps.array(0).rglob("*.*")}
    assert found == {"zarr.json"}
    assert len([path for path in steps.array(0).rglob("*") if path.is_file()]) == 18 + 1


def test_many_missing_files_are_counted(steps):
    shutil.rmtree(steps.array(0) / "c")
    with pytest.raises(ReceiptError, match=r"c/0/0/0: missing; .*c/0/0/1: missing; .* and 13 more"):
        steps.publish()


def test_publishing_deletes_surplus_levels(steps):
    shutil.copytree(steps.array(2), steps.array(3))
    ownership.record(steps.paths, "3", [steps.sample.levels[2].document])
    steps.publish()
    assert [path.name for path in (steps.state / "3").iterdir()] == ["owned.json"]
    assert {path.name for path in steps.store.iterdir()} == {"0", "1", "2", "nifti", "zarr.json"}


def test_receipt_records_how_much_was_written(steps):
    receipt = json.loads(steps.receipts(0)[1].read_text())
    files = [path for path in (steps.array(0) / "c").rglob("*") if path.is_file()]
    assert receipt["files"] == len(files) == 18
    assert receipt["bytes"] == sum(path.stat().st_size for path in files)
    voxels = steps.sample.source.read(steps.sample.levels[0].region(0))
    assert receipt["region"] == [[0, 25], [0, 41], [0, 33]]
    assert (receipt["minimum"], receipt["maximum"]) == (voxels.min(), voxels.max())
    assert (receipt["total"], receipt["count"]) == (voxels.sum(dtype="i8"), voxels.size)


def test_metadata_name_the_versions_that_made_the_levels(steps):
    receipt = steps.receipts(1)[0]
    made = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(made | {"version": "0.0.9"}))
    steps.publish()
    attributes = json.loads((steps.store / "zarr.json").read_text())["attributes"]
    method = attributes["ome"]["multiscales"][0]["metadata"]
    assert method["version"] == f"{made['version']}, 0.0.9"


@pytest.mark.parametrize(
    ("step", "unused"),
    [
        ("create_array", {"numpy", "zarr", "tensorstore", "nibabel"}),
        ("ome_metadata", {"zarr", "tensorstore", "nibabel"}),
        ("pyramid_level", {"zarr", "tensorstore", "nibabel"}),
        ("write_base", {"zarr", "tensorstore", "pydicom", "h5py", "tifffile"}),
        ("nifti_header", {"zarr", "tensorstore", "pydicom"}),
        ("verify_store", {"numpy", "zarr", "tensorstore", "nibabel", "pydantic"}),
        ("convert_bundle", {"matplotlib", "jinja2", "PIL"}),
        ("report_sample", {"zarr", "tensorstore", "pydicom", "snakemake", "matplotlib.pyplot"}),
    ],
)
def test_step_imports_only_the_libraries_it_needs(step, unused):
    command = f"import sys, neurozarr.steps.{step}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)
    assert not unused & set(modules.stdout.decode().split())
