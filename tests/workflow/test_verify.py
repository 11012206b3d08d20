"""Stores that are damaged after the run: verification, report and repair."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def in_blocks(workflow, convert_once):
    """A finished conversion in many blocks."""
    workflow.config["resources"] = {"block_mb": 0.06}
    workflow.config["pyramid"] = {"levels": 1}
    done = convert_once(workflow.config, workflow.directory / "anatomical.nii")
    done.copy_to(workflow.directory)
    return workflow


def report(workflow):
    return json.loads((workflow.output / "verify/anatomical.json").read_text())


def flip_a_bit(path, at=-20):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def repair(workflow, command):
    """Run a repair command in a shell, as a user would; return the lines that name its jobs."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=workflow.directory,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("localrule")
    ]


def test_run_ends_with_a_verification(converted):
    found = report(converted)
    assert found["sound"]
    assert found["verify"] == "quick"
    assert found["levels"][0] == {
        "level": 0,
        "shape": [25, 41, 33],
        "files": 18,
        "bytes": sum(
            p.stat().st_size for p in (converted.store() / "0/c").rglob("*") if p.is_file()
        ),
    }


def test_target_verify_always_verifies_again(converted):
    for _ in range(2):
        run = converted("verify")
        assert run.jobs == {"verify_store", "verify"}
        assert (
            "anatomical.nii.zarr: no damage found by a quick check of 3 levels, 21 files"
            in run.output
        )


def test_repair_command_rewrites_only_damaged_blocks(in_blocks):
    in_blocks.config["verify"] = "full"
    whole, store = in_blocks.tree(), in_blocks.store()
    flip_a_bit(store / "0/c/0/1/0")
    (store / "0/c/1/2/2").unlink()
    flip_a_bit(store / "1/c/0/0/0")
    run = in_blocks("verify", check=False)
    assert run.code == 1
    found = report(in_blocks)
    assert not found["sound"]
    damage = {
        Path(entry["file"]).relative_to("results/anatomical.nii.zarr"): entry
        for entry in found["damage"]
    }
    assert {
        str(path): (entry["level"], entry["chunk"], entry["problem"])
        for path, entry in damage.items()
    } == {
        "0/c/0/1/0": (0, [0, 1, 0], "its checksum differs from the recorded one"),
        "0/c/1/2/2": (0, [1, 2, 2], "missing"),
        "1/c/0/0/0": (1, [0, 0, 0], "its checksum differs from the recorded one"),
    }
    assert "0/c/1/2/2: missing" in run.output
    assert found["repair"] in run.output
    blocks = {path: path.stat().st_mtime_ns for path in in_blocks.state.rglob("block-*.json")}
    assert len(blocks) > 4
    ran = repair(in_blocks, found["repair"])
    redone = {path for path, time in blocks.items() if path.stat().st_mtime_ns != time}
    assert redone == {in_blocks.directory / entry["repaired_by"] for entry in found["damage"]}
    assert "localrule create_array:" not in ran
    assert in_blocks.tree() == whole
    assert report(in_blocks)["sound"]
    assert in_blocks("--dry-run").jobs == set()


def test_damaged_metadata_and_header_are_repaired(converted):
    whole, store = converted.tree(), converted.store()
    flip_a_bit(store / "nifti/c/0", at=200)
    group = store / "zarr.json"
    time = group.stat().st_mtime_ns
    group.write_text(group.read_text().replace("millimeter", "micrometer"))
    os.utime(group, ns=(time, time))
    run = converted("verify", check=False)
    assert "the metadata differ from the plan" in run.output
    assert "anatomical.nii.zarr/nifti/c/0: its checksum differs from the recorded one" in run.output
    ran = repair(converted, report(converted)["repair"])
    assert not {"localrule write_base:", "localrule pyramid_level:"} & set(ran)
    assert converted.tree() == whole


def test_verify_none_verifies_nothing(workflow):
    workflow.config["verify"] = "none"
    assert "verify_store" not in workflow("--dry-run").jobs
    run = workflow("verify", check=False)
    assert run.output.strip().endswith("neurozarr: verify is none: set it to quick or full")


def test_full_check_finds_source_changed_with_same_size_and_time(converted):
    source = converted.directory / "anatomical.nii"
    time = source.stat().st_mtime_ns
    flip_a_bit(source)
    os.utime(source, ns=(time, time))
    assert converted("--dry-run").jobs == set()
    converted.config["verify"] = "full"
    run = converted(check=False)
    assert run.code == 1
    assert "differ from the source, which was changed without" in run.output
    repair(converted, report(converted)["repair"])
    assert report(converted)["sound"]
    assert converted("--dry-run").jobs == set()
