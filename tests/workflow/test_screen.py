"""What a person sees of a run."""

import re

import pytest

from ..terminal import shown, terminal


@pytest.fixture
def seen(workflow):
    """The workflow as users run it."""
    workflow.screen = True
    return workflow


def test_a_volume_takes_few_lines_and_its_store_comes_last(seen):
    output = seen().output
    assert {"\r", "\x1b"}.isdisjoint(output)
    lines = output.strip().splitlines()
    assert len(lines) < 25
    steps = [line.split(": ")[1] for line in lines if line.startswith("anatomical: ")]
    assert steps == ["level 0", "levels 1 to 2", "verified"]
    assert re.match(r"anatomical: level 0: 0.1 MB of voxels, .* MB/s; run: 2 of 6 jobs", lines[1])
    assert lines[-4].startswith("results/anatomical.nii.zarr       3 ")
    (log,) = (seen.directory / ".snakemake/log").iterdir()
    assert "rule write_base:" in log.read_text()
    assert "rule write_base:" in seen("--dry-run", "--forceall").output


def test_an_export_says_where_it_is(seen):
    lines = seen("export").output.strip().splitlines()
    place = next(line for line in lines if line.startswith("exported to: ")).split(": ")[1].strip()
    assert (seen.directory / place / "anatomical_level-0.nii.gz").exists()


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
    assert lines[-2] == "1 of 2 samples is converted all the same"
    told = [line for line in lines if line.startswith("sample not: SourceError: ")]
    assert [line.count("(more in ") for line in told] == [1]


def test_a_terminal_has_a_line_that_is_rewritten(seen):
    seen.environment["TERM"] = "xterm"
    with terminal(60) as made:
        seen.terminal = made.name
        assert seen().code == 0
        written = made.close()
    live = re.findall(r"\d+ of 6 jobs, 0\.\d of 0\.1 MB[^\r\n]*", written)
    assert live
    assert max(map(len, live)) < 60
    lines = shown(written)
    assert not [line for line in lines if re.match(r"\d+ of \d+ jobs, ", line)]
    steps = [line.split(": ")[1] for line in lines if line.startswith("anatomical: ")]
    assert steps == ["level 0", "levels 1 to 2", "verified"]
    assert [line for line in lines if line.startswith("neurozarr: 1 store in ")]
