"""Errors that users see: one line, no traceback, and nothing is written."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

#: What is not known of a NumPy array.
UNKNOWN = (
    "the voxel size is unknown; it is set to 1; give voxel_size",
    "the unit of space is unknown, so that the store has none; give unit",
)


def converts_nothing(workflow):
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    assert not (workflow.directory / "results").exists()
    return run.output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": "no.nii"}, "neurozarr: sample no: no.nii: there is no such file"),
        ({"source": "*.mgz"}, "neurozarr: config: source '*.mgz' matches no file"),
        (
            {"source": "*.nii", "zarr": {"chunks": 64}},
            "neurozarr: config.yaml: unknown option zarr.chunks; did you mean chunk?",
        ),
    ],
    ids=["missing source", "empty glob", "unknown option"],
)
def test_wrong_configuration(workflow, config, message):
    workflow.config = config
    assert converts_nothing(workflow) == message


def test_sample_name_with_a_slash(workflow):
    workflow.config = {"samples": "sheet.tsv"}
    (workflow.directory / "sheet.tsv").write_text("sample\tsource\n../up\tanatomical.nii\n")
    assert converts_nothing(workflow).startswith(
        "neurozarr: sheet.tsv, line 2: sample is '../up'; allowed: a name of letters"
    )


def test_source_is_not_an_image(workflow):
    (workflow.directory / "anatomical.nii").write_text("hello")
    assert converts_nothing(workflow).startswith(
        "neurozarr: sample anatomical: anatomical.nii: not an image that nibabel can open"
    )


def test_a_header_that_cannot_be_read_stops_no_other_sample(workflow, fresh):
    """The bad sample is named when the run is planned, and again at its end, which says it all."""
    (workflow.directory / "bad.nii").write_text("hello")
    np.save(workflow.directory / "c.npy", np.ones((2, 3, 4), "u1"))
    alone = replace(workflow)
    workflow.config = workflow.config | {"source": ["anatomical.nii", "bad.nii", "c.npy"]}
    dry = workflow("--dry-run", check=False)
    assert dry.code == 1
    assert "neurozarr: sample bad: bad.nii: not an image" in dry.output
    last = "neurozarr: 1 of 3 samples cannot be converted: the reasons are above"
    assert dry.output.splitlines()[-1] == last
    assert "convert_bundle" in dry.jobs
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    *warnings, _, count, reason, others, again = run.output.splitlines()[-7:]
    assert warnings == [f"  c.npy: {what}" for what in UNKNOWN]
    assert count == "neurozarr: 1 of 3 samples failed"
    assert reason.startswith("  sample bad: bad.nii: not an image that nibabel can open")
    assert reason.endswith("(more in logs/bad/convert.log)")
    assert others == "2 of 3 samples are converted all the same"
    assert "): snakemake " in again
    assert workflow.tree() == fresh(alone)
    (workflow.directory / "bad.nii").unlink()
    shutil.copy(workflow.directory / "anatomical.nii", workflow.directory / "bad.nii")
    done = workflow()
    rows = [line.split()[:2] for line in done.output.splitlines()]
    assert ["results/bad.nii.zarr", "3"] in rows


def test_damaged_source_is_named_and_not_published(workflow, mri):
    damaged = (mri / "example4d.nii.gz").read_bytes()[:100_000]
    (workflow.directory / "cut.nii.gz").write_bytes(damaged)
    workflow.config["source"] = "cut.nii.gz"
    run = workflow(check=False)
    assert run.code == 1
    assert "SourceError: cut.nii.gz: the voxels cannot be read" in run.output
    assert not (workflow.store("cut") / "zarr.json").exists()
    log = (workflow.directory / "logs/cut/write_base_0.log").read_text()
    assert "cut.nii.gz: the voxels cannot be read" in log
    (workflow.directory / "cut.nii.gz").write_bytes((mri / "example4d.nii.gz").read_bytes())
    workflow()
    assert (workflow.store("cut") / "nifti" / "zarr.json").exists()
