"""What a person sees of a run."""

import re

import pytest


@pytest.fixture
def seen(workflow):
    """The workflow as users run it."""
    workflow.screen = True
    return workflow


def test_a_volume_takes_few_lines_and_its_store_comes_last(seen):
    lines = seen().output.strip().splitlines()
    assert len(lines) < 25
    steps = [line.split(": ")[1] for line in lines if line.startswith("anatomical: ")]
    assert steps == ["level 0", "levels 1 to 2", "verified"]
    assert re.match(r"anatomical: level 0: 0.1 MB of voxels, .* MB/s; run: 2 of 6 jobs", lines[1])
    assert lines[-4].startswith("results/anatomical.nii.zarr       3 ")
    (log,) = (seen.directory / ".snakemake/log").iterdir()
    assert "rule write_base:" in log.read_text()
    assert "rule write_base:" in seen("--dry-run", "--forceall").output


def test_a_failed_sample_comes_last(seen):
    (seen.directory / "not.mgz").write_bytes(b"hello")
    seen.config["source"] = ["anatomical.nii", "not.mgz"]
    seen.bundle = True
    run = seen(check=False)
    assert run.code == 1
    lines = run.output.strip().splitlines()
    assert len(lines) < 25
    assert lines[-4] == "neurozarr: 1 of 2 samples failed"
    assert lines[-3].startswith("  sample not: not.mgz: ")
    assert lines[-2] == "1 of 2 samples are converted all the same"
