"""Sources that rules make of the workflow that uses this one, by module or by include."""

import re
import shutil

import nibabel
import numpy as np
import pytest
import tifffile

import neurozarr

from .. import parents
from ..parents import LARGE, MODULE, OUTPUT, REGISTER, SHEET, write_volume
from ..unit import others

NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def make_parent(root, tmp_path_factory):
    def make(*args):
        return parents.make_parent(root, tmp_path_factory.mktemp("parent"), *args)

    return make


@pytest.fixture
def parent(make_parent):
    return make_parent()


@pytest.fixture(scope="module")
def converted_once(make_parent):
    """A parent that has run, and what its run printed."""
    made = make_parent()
    dry = made("--dry-run")
    assert dry.rules == {"register", "nz_source_made", "everything"}
    return made, made()


@pytest.fixture
def again(converted_once, parent):
    """A copy of it, of which Snakemake's records say that it was somewhere else."""
    converted_once[0].copy_to(parent.directory)
    parent.triggers = ("--rerun-triggers=mtime",)
    return parent


def resources(run, rule):
    """Output, threads and resources of each job of a rule."""
    jobs = re.findall(rf"^(?:local)?rule {rule}:\n((?: {{4}}.*\n)*)", run.output, re.M)
    told = [re.findall(r"^ +(output|threads|resources): (.*)", job, re.M) for job in jobs]
    return sorted(told)


def test_made_sources_are_converted_in_the_same_run(converted_once, tmp_path):
    parent, run = converted_once
    assert {"nz_convert_bundle", "nz_write_base", "nz_pyramid_level"} < run.rules
    assert parent.made() == {"small": 1, "large": 1}
    for name in ("small", "large"):
        assert parent.tree(name) == parent.converted(name, tmp_path)
    assert NOTHING in parent("--dry-run").output


def test_jobs_have_the_resources_that_existing_sources_have(converted_once, again):
    again.write(MODULE)  # Now no rule makes them.
    shutil.rmtree(again.output)
    planned = again("--dry-run")
    for rule in ("write_base", "pyramid_level", "verify_store", "convert_bundle"):
        found, expected = (resources(run, f"nz_{rule}") for run in (converted_once[1], planned))
        if rule == "convert_bundle":  # Its name tells its place among the samples.
            found, expected = ([job[1:] for job in jobs] for jobs in (found, expected))
        assert found == expected != []


def test_made_sources_are_verified_and_exported(again):
    run = again("nz_verify", "nz_export")
    assert run.output.count(": no damage found by a quick check") == 2
    assert {"nz_export_nifti", "nz_verify_store"} < run.rules
    assert not {"register", "nz_source_made", "nz_write_base"} & run.rules
    assert len(list(again.directory.glob("results/nifti/*_level-0.nii.gz"))) == 2
    assert NOTHING in again("nz_export", "--dry-run").output


def test_a_source_made_again_with_another_shape_needs_one_run(again, tmp_path):
    write_volume(again.directory / "raw/large.nii", 30, 60, 16)
    write_volume(again.directory / "raw/small.nii", 10, 10, 40)
    again()
    assert again.made() == {"small": 2, "large": 2}
    for name in ("small", "large"):
        assert again.tree(name) == again.converted(name, tmp_path)
    assert NOTHING in again("--dry-run").output


def test_temporary_sources_are_made_again_only_if_needed(make_parent):
    parent = make_parent(SHEET, f"temp({OUTPUT})")
    parent()
    assert not list((parent.directory / "registered").glob("*"))
    assert NOTHING in parent("--dry-run").output
    parent("nz_export")
    assert (parent.output / "nifti/small_level-0.nii.gz").exists()
    assert NOTHING in parent("nz_export", "everything", "--dry-run").output
    assert parent.made() == {"small": 2}
    parent.config["zarr"] = {"chunk": 8}
    parent()
    assert parent.made() == {"small": 3}
    assert (parent.store("small") / "0/c/1/2/2").exists()
    assert NOTHING in parent("--dry-run").output


def test_a_killed_run_is_completed(make_parent, tmp_path):
    parent = make_parent([SHEET[0], LARGE], f"temp({OUTPUT})")
    parent.kill_when((parent.store("large") / "0/c").exists)
    parent()
    assert parent.tree("large") == parent.converted("large", tmp_path)
    assert parent.made() == {"large": 1}


READ = """
rule read:
    input: "results/.state/{subject}.nii.zarr/verify.json"
    output: "read/{subject}.txt"
    shell: "cp {input} {output}"
"""


def test_sources_that_cannot_be_read_stop_no_others(make_parent):
    """Nothing makes one of them; another is no image, as is known when a rule has made it."""
    parent = make_parent([*SHEET, "lost\traw/lost.nii", "bad\tregistered/bad.nii"])
    parent.write(MODULE, REGISTER, READ)
    (parent.directory / "raw/bad.nii").write_text("hello")
    assert parent("registered/large.nii").rules == {"register"}
    wanted = ["read/small.txt", "read/bad.txt", "nz_all"]
    planned = parent(*wanted, "--dry-run", check=False)
    assert planned.code == 1
    assert {"read", "nz_verify_store", "nz_source_made"} < planned.rules
    assert "mem_mb=<TBD>" in planned.output
    run = parent(*wanted, check=False)
    assert run.code == 1
    assert "neurozarr: sample lost: raw/lost.nii: there is no such file" in run.output
    assert "neurozarr: sample bad: registered/bad.nii: not an image" in run.output
    assert (parent.directory / "read/small.txt").exists()
    assert parent.made() == {"large": 1, "small": 1, "bad": 1}


def test_a_missing_sheet_is_an_error_only_when_asked_for(parent):
    parent.config["samples"] = "no.tsv"
    assert parent("registered/small.nii", "--dry-run").rules == {"register"}
    for target in ("nz_all", "results/.state/small.nii.zarr/verify.json"):
        run = parent(target, "--dry-run", check=False)
        assert run.code == 1
        assert "neurozarr: config: samples no.tsv: there is no such file" in run.output
        assert "Traceback" not in run.output


SLICES = """
rule slices:
    output: directory("slices/{subject}")
    shell: "mkdir -p {output}; cp raw/*.tif {output}"

rule header:
    output: protected("made/header.nii")
    shell: "cp raw/small.nii {output}"

rule voxels_of_a_pair:
    output: "made/pair.img"
    shell: "cp raw/pair.img {output}"

rule header_of_a_pair:
    output: "made/pair.hdr"
    shell: "sleep 1; cp raw/pair.hdr {output}"

rule segment:
    input: "made/header.nii"
    output: "made/labels.nii"
    shell: "cp raw/labels.nii {output}"
"""


def test_directories_pairs_headers_and_labels_are_made(make_parent):
    parent = make_parent(
        [
            "sample\tsource\tlabel_of\tnifti.header",
            "stack\tslices/a\t\tmade/header.nii",
            "part\t./slices/b/z1.tif\t\t",
            "pair\tmade/pair.hdr\t\t",
            "seg\tmade/labels.nii\tpair\t",
        ]
    )
    raw = parent.directory / "raw"
    voxels = np.random.default_rng(0).integers(0, 9, (3, 16, 18)).astype("u1")
    for number, plane in enumerate(voxels):
        tifffile.imwrite(raw / f"z{number}.tif", plane)
    nibabel.save(nibabel.load(raw / "small.nii"), raw / "labels.nii")
    small = nibabel.load(raw / "small.nii")
    nibabel.save(nibabel.Nifti1Pair(small.dataobj, small.affine, small.header), raw / "pair.hdr")
    parent.write(MODULE, SLICES)
    parent()
    opened = {name: neurozarr.open_group(parent.store(name), "r") for name in ("stack", "part")}
    shapes = {name: group.array("0").shape for name, group in opened.items()}
    assert shapes == {"stack": (3, 16, 18), "part": (1, 16, 18)}
    assert (parent.store("pair") / "labels/seg/zarr.json").exists()
    scale = parent.group("stack")["ome"]["multiscales"][0]["datasets"][0]
    assert scale["coordinateTransformations"][0]["scale"] == [2, 2, 2]
    assert NOTHING in parent("--dry-run").output


IMAGES = """
rule image:
    input: "raw/{name}.zarr"
    output: directory("images/{name}.zarr")
    shell: "cp -r {input} {output}"
"""


def test_an_image_that_is_made_gets_levels_where_it_is(make_parent):
    parent = make_parent(
        [
            "sample\tsource\tin_place\tresources.block_mb",
            "blocks\timages/a.zarr\ttrue\t0.013",
            "whole\timages/b.zarr\ttrue\t",
        ]
    )
    parent.config["pyramid"] = {"levels": 2}
    parent.write(MODULE, IMAGES)
    parent.triggers = ("--rerun-triggers=mtime",)
    raw, images = parent.directory / "raw", parent.directory / "images"
    for name, version in (("a", 3), ("b", 2)):
        others.image(raw / f"{name}.zarr", version)
    parent()
    for name in "ab":
        assert [level.shape for level in others.levels(images / f"{name}.zarr")] == [
            (20, 30, 40),
            (10, 15, 20),
            (5, 7, 10),
        ]
    assert NOTHING in parent("--dry-run").output
    # The rule makes it again, with a level of its own, which is never replaced.
    shutil.rmtree(raw / "b.zarr")
    others.image(raw / "b.zarr", 2, names=("0", "1"))
    run = parent(check=False)
    assert run.code == 1
    assert (
        "If another program wrote the image again, delete results/.state/whole.in-p" in run.output
    )
    levels = others.levels(raw / "b.zarr")
    for found, expected in zip(others.levels(images / "b.zarr"), levels, strict=True):
        np.testing.assert_array_equal(found, expected)
    shutil.rmtree(parent.state / "whole.in-place.zarr")
    parent()
    found = others.levels(images / "b.zarr")
    assert len(found) == 3
    np.testing.assert_array_equal(found[1], levels[1])


def test_a_plan_makes_no_sources(make_parent):
    parent = make_parent(SHEET)
    told = parent("nz_plan").output
    assert "neurozarr: 0 samples, and 1 whose sources other rules make first" in told
    assert not (parent.directory / "registered").exists()
    parent("registered/small.nii")
    told = parent("nz_plan").output
    assert re.search("^neurozarr: 1 sample", told, re.M)
    assert "make first" not in told
