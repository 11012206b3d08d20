"""Small samples, converted many to a job: the same bytes and promises as by jobs of their own."""

import gzip
import json
import shutil
import signal
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from ..runs import Workflow, wait_until

NAMES = ("a", "b", "c", "d")


def save(path, seed, shape=(20, 17, 18)):
    voxels = np.random.default_rng(seed).integers(0, 999, shape).astype("i2")
    nibabel.Nifti1Image(voxels, np.diag([1, 2, 3, 1])).to_filename(path)


def write_sheet(workflow, names=NAMES):
    lines = [f"{name}\tin/{name}.nii" for name in names]
    (workflow.directory / "sheet.tsv").write_text("\n".join(["sample\tsource", *lines, ""]))


@pytest.fixture
def many(make_workflow):
    """Four small volumes and a sheet, not yet converted."""
    made = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 8}})
    made.bundle = True
    (made.directory / "in").mkdir()
    for seed, name in enumerate(NAMES):
        save(made.directory / f"in/{name}.nii", seed)
    write_sheet(made)
    return made


@pytest.fixture
def references(many, fresh):
    """The files of each store, converted alone."""
    return {
        name: fresh(replace(many, config={"source": f"in/{name}.nii", "zarr": {"chunk": 8}}))
        for name in NAMES
    }


def trees(workflow, names=NAMES):
    return {name: workflow.tree(name) for name in names}


def times(workflow, name):
    store = workflow.store(name)
    return {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}


def test_stores_have_the_same_bytes_as_by_jobs_of_their_own(many, references):
    run = many("--cores", "1")
    assert run.jobs == {"convert_bundle"}
    assert run.output.count("rule convert_bundle:") == 2
    assert trees(many) == references
    assert "Nothing to be done" in many().output
    assert not list(many.state.glob("bundle-*"))


def test_a_bundle_that_is_killed_is_finished_by_the_next_run(many, references):
    moments = [many.store("a") / "1/c", many.store("c") / "zarr.json"]
    for moment in moments:
        many.kill_when(moment.exists)
    many()
    assert trees(many) == references


def test_only_what_has_changed_is_converted_again(many, references):
    write_sheet(many, NAMES[:3])
    many()
    before = {name: times(many, name) for name in NAMES[:3]}
    write_sheet(many)  # A new line.
    shutil.rmtree(many.store("b"))
    (many.state / "c.nii.zarr/ome.json").unlink()
    many()
    assert trees(many) == references
    for name in ("a",):
        assert times(many, name) == before[name]
    save(many.directory / "in/c.nii", 9)
    many()
    assert many.tree("c") != references["c"]
    assert trees(many, "abd") == {name: references[name] for name in "abd"}
    assert times(many, "a") == before["a"]
    many("--forceall")
    assert not set(times(many, "a").items()) & set(before["a"].items())
    many.config["pyramid"] = {"mode": "median"}
    before = times(many, "a")
    many()
    found = times(many, "a")
    assert found[many.store("a") / "0/zarr.json"] == before[many.store("a") / "0/zarr.json"]
    assert found[many.store("a") / "1/zarr.json"] != before[many.store("a") / "1/zarr.json"]
    assert "Nothing to be done" in many().output


def test_a_bad_sample_stops_no_other(many, references):
    whole = (many.directory / "in/b.nii").read_bytes()
    source = many.directory / "in/b.nii.gz"
    damaged = bytearray(gzip.compress(whole, mtime=0))
    damaged[len(damaged) // 2] ^= 255
    source.write_bytes(damaged)
    sheet = many.directory / "sheet.tsv"
    sheet.write_text(sheet.read_text().replace("in/b.nii\n", "in/b.nii.gz\n"))
    run = many(check=False)
    assert run.code == 1
    assert "sample b: SourceError: in/b.nii.gz: the voxels cannot be read" in run.output
    assert "Traceback" not in run.output
    others = [name for name in NAMES if name != "b"]
    assert trees(many, others) == {name: references[name] for name in others}
    assert not (many.store("b") / "zarr.json").exists()
    log = (many.directory / "logs/b/convert.log").read_text()
    assert "the voxels cannot be read" in log
    assert "b.nii.zarr" not in (many.directory / "logs/a/convert.log").read_text()
    before = times(many, "a")
    source.write_bytes(gzip.compress(whole, mtime=0))
    many()
    assert many.tree("b") == references["b"]
    assert times(many, "a") == before


def test_stores_are_verified_and_repaired(many, references):
    many()
    run = many("verify")
    assert run.jobs == {"convert_bundle", "verify"}
    assert run.output.count(": no damage found by a quick check") == len(NAMES)
    chunk = many.store("c") / "1/c/0/0/0"
    chunk.unlink()
    run = many("verify", check=False)
    assert run.code == 1
    assert f"{chunk.relative_to(many.directory)}: missing" in run.output
    report = json.loads((many.output / "verify/c.json").read_text())
    assert report["damage"][0]["problem"] == "missing"
    many(report["damage"][0]["repaired_by"], "--force")
    many()
    assert trees(many) == references


def test_levels_of_bundled_samples_are_exported(many):
    many.config["export"] = {"levels": [0, 1]}
    run = many("all", "export")
    assert run.jobs == {"convert_bundle", "export_nifti/0", "export_nifti/1", "export"}
    for name in NAMES:
        found = nibabel.load(many.output / f"nifti/{name}_level-0.nii.gz")
        expected = nibabel.load(many.directory / f"in/{name}.nii")
        np.testing.assert_array_equal(found.dataobj, expected.dataobj)
    assert "Nothing to be done" in many("all", "export").output


def test_large_and_small_samples_are_converted_in_one_run(many, references):
    save(many.directory / "in/d.nii", 3, (90, 40, 40))
    many.config["resources"] = {"block_mb": 0.1}
    run = many()
    assert {"convert_bundle", "write_base", "verify_store"} <= run.jobs
    assert any(job.startswith("pyramid_level") for job in run.jobs)
    assert trees(many, NAMES[:3]) == {name: references[name] for name in NAMES[:3]}
    assert (many.store("d") / "nifti/zarr.json").exists()
    assert "Nothing to be done" in many().output


def test_another_run_on_a_bundled_sample_is_refused(many, references):
    second = Workflow(many.root, many.directory / "elsewhere", dict(many.config), bundle=True)
    second.directory.mkdir()
    second.config |= {"output": "../results", "samples": "../sheet.tsv"}
    (second.directory / "in").symlink_to("../in")
    with many.started() as process:
        wait_until((many.state / "a.nii.zarr/0/array.json").exists, process)
        process.signal(signal.SIGSTOP)
        refused = second(check=False)
        process.signal(signal.SIGCONT)
        process.wait()
    assert refused.code == 1
    assert "is converting it" in refused.output
    assert trees(many) == references


def test_options_that_name_rules_and_batches_are_followed(many):
    many()
    assert many("--dry-run", "--forcerun", "convert_bundle").jobs == {"convert_bundle"}
    run = many("--batch", "all=1/2", check=False)
    assert run.code == 1
    assert "--batch does not work with bundles, which are few: leave it out" in run.output
    many.bundle = False
    assert many("--batch", "all=1/2").jobs == set()
