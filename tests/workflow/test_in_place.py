"""Runs that add levels to images of others: killed, repeated, and refused."""

import shutil
import subprocess

import numpy as np
import pytest

import neurozarr

from ..runs import Workflow
from ..unit import others

BLOCKS = {"resources": {"block_mb": 0.013}}


@pytest.fixture
def in_place(make_workflow) -> Workflow:
    """Two levels that are to be added to an image, the first of them in several blocks."""
    made = make_workflow({"source": "a.zarr", "in_place": True, "pyramid": {"levels": 2}})
    others.image(made.directory / "a.zarr", dtype="f4", attributes={"mine": [1, "ü"]})
    return made


def expected(workflow):
    """The files of the image as `neurozarr.convert` makes them in one go."""
    store = others.copy(workflow.directory / "a.zarr", workflow.directory / "whole/a.zarr")
    neurozarr.convert(
        store, workflow.directory / "whole/out", in_place=True, pyramid=workflow.config["pyramid"]
    )
    return others.tree(store)


def assert_whole(store, before):
    """Readers find the voxels of others and, if they are listed, of all added levels."""
    found = others.levels(store)
    assert len(found) in (1, 3)
    np.testing.assert_array_equal(found[0], others.voxels(dtype="f4"))
    now = others.tree(store)
    assert all(now[name] == before[name] for name in before if name != "zarr.json")
    assert others.attributes(store)["mine"] == [1, "ü"]


def test_blocks_that_are_killed_are_completed(in_place):
    store, state = in_place.directory / "a.zarr", in_place.state / "a.in-place.zarr"
    before, whole = others.tree(store), expected(in_place)
    in_place.config |= BLOCKS
    for moment in ("1/block-1.json", "2/block-0.json"):
        in_place.kill_when((state / moment).exists)
        assert_whole(store, before)
    in_place()
    assert others.tree(store) == whole
    assert in_place("--dry-run").jobs == set()
    # Only what depends on the option is made again, and only levels that were added.
    in_place.config["pyramid"] = {"levels": 2, "mode": "stride"}
    assert in_place().rules >= {"create_array_in_place", "pyramid_level_in_place"}
    np.testing.assert_array_equal(others.levels(store)[1], others.voxels(dtype="f4")[::2, ::2, ::2])
    assert_whole(store, before)


def test_bundle_that_is_killed_or_damaged_is_completed(in_place):
    store = in_place.directory / "a.zarr"
    before, whole = others.tree(store), expected(in_place)
    in_place.bundle = True
    in_place.kill_when((store / "1/c").exists)
    assert_whole(store, before)
    in_place()
    assert others.tree(store) == whole
    (store / "1/c/0/0/0").unlink()
    run = in_place("verify", check=False)
    assert "a.zarr/1/c/0/0/0: missing" in run.output
    block = "results/.state/a.in-place.zarr/2/block-0.json"
    assert f"snakemake {block} --force" in run.output
    in_place(block, "--force")
    assert_whole(store, before)
    shutil.rmtree(store / "2")
    in_place()
    assert others.tree(store) == whole


@pytest.mark.parametrize("bundle", [True, False])
def test_page_is_made_and_changes_nothing_of_the_owner(in_place, bundle):
    store, page = in_place.directory / "a.zarr", in_place.output / "reports/a.html"
    whole = expected(in_place)
    in_place.bundle = bundle
    in_place("report")
    assert others.tree(store) == whole
    assert "1, 2; the others are of the owner" in page.read_text()
    assert 'href="a.html"' in (page.parent / "index.html").read_text()
    assert in_place("report", "--dry-run").jobs == set()
    made = page.read_bytes()
    in_place.config["pyramid"] = {"levels": 1}
    in_place("report")
    assert "1; the others are of the owner" in page.read_text()
    page.write_text("edited")
    assert "was edited, and would be overwritten" in in_place("report", check=False).output
    page.unlink()
    in_place.config["pyramid"] = {"levels": 2}
    in_place("results/reports/a.html")
    assert len(page.read_bytes()) > len(made) / 2
    assert others.tree(store) == whole


def test_image_that_gets_levels_is_no_source_of_others(in_place):
    sheet = in_place.directory / "s.tsv"
    in_place.config = {"samples": "s.tsv"}
    before = others.tree(in_place.directory / "a.zarr")
    for second in ("true", ""):
        sheet.write_text(f"sample\tsource\tin_place\na\ta.zarr\ttrue\nb\ta.zarr\t{second}\n")
        run = in_place(check=False)
        assert run.code == 1
        assert "a.zarr would be changed, because the sample" in run.output.replace(
            "/0/zarr.json", ""
        )
    assert others.tree(in_place.directory / "a.zarr") == before


def test_full_or_read_only_disk_is_named_and_keeps_the_image(in_place):
    store, disk = in_place.directory / "a.zarr", in_place.directory / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=260k", "none", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        shutil.copytree(store, disk / "a.zarr")
        before, whole = others.tree(store), expected(in_place)
        in_place.config |= {"source": "disk/a.zarr", "resources": {"check_space": False}}
        in_place.bundle = True
        (disk / "fill").write_bytes(bytes(10_000))
        run = in_place(check=False)
        assert run.code == 1
        assert "No space left on device" in run.output
        assert others.tree(disk / "a.zarr")["zarr.json"] == before["zarr.json"]
        (disk / "fill").unlink()
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        in_place()
        assert others.tree(disk / "a.zarr") == whole
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert in_place().jobs == set()
        in_place.config["pyramid"] = {"levels": 1}
        assert "disk/a.zarr cannot be written: in_place changes it" in in_place(check=False).output
    finally:
        subprocess.run(["umount", str(disk)], check=False, capture_output=True)
