"""Errors that users see: one line, no traceback, and nothing is written."""

import pytest


def converts_nothing(workflow):
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    assert not (workflow.directory / "results").exists()
    return run.output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": "no.nii"}, "neurozarr: config: source no.nii does not exist"),
        (
            {"source": "*.nii", "zarr": {"chunks": 64}},
            "neurozarr: config.yaml: unknown option zarr.chunks; did you mean chunk?",
        ),
    ],
    ids=["missing source", "unknown option"],
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
