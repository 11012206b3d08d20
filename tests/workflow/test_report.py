"""The target report: pages of samples, and the list of all of them."""

import base64
import html
import re
import shutil

import nibabel
import numpy as np
import pytest

from ..runs import Workflow


def save(path, seed, dtype="i2", shape=(20, 17, 18)):
    voxels = np.random.default_rng(seed).integers(0, 9, shape).astype(dtype)
    nibabel.Nifti1Image(voxels, np.diag([1, 2, 3, 1])).to_filename(path)


@pytest.fixture
def several(make_workflow) -> Workflow:
    """An image with labels, and a file that is no image."""
    made = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 8}})
    made.bundle = True
    save(made.directory / "a.nii", 1)
    save(made.directory / "seg.nii", 2)
    (made.directory / "not.nii").write_bytes(b"hello")
    lines = ["sample\tsource\tlabel_of", "a\ta.nii\t", "seg\tseg.nii\ta", "not\tnot.nii\t", ""]
    (made.directory / "sheet.tsv").write_text("\n".join(lines))
    return made


def pages(workflow):
    """When each page was written, by its name."""
    folder = workflow.output / "reports"
    files = [*folder.glob("*.html"), *folder.glob("*/labels/*.html")]
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def listed(workflow):
    """The rows of the list: name, text, and whether it failed."""
    text = (workflow.output / "reports/index.html").read_text().partition("<tbody>")[2]
    rows = re.findall(r"<tr( data-failed)?>(.*?)</tr>", text, re.S)
    return {
        re.search(r'data-key="([^"]*)"', row)[1]: (html.unescape(row), bool(failed))
        for failed, row in rows
    }


def test_failed_samples_are_listed_among_the_others(several):
    run = several("report", check=False)
    assert run.code == 1
    rows = listed(several)
    assert {name: failed for name, (_, failed) in rows.items()} == {
        "a": False,
        "a/labels/seg": False,
        "not": True,
    }
    assert "not.nii: " in rows["not"][0]
    assert "logs/not/convert.log" in rows["not"][0]
    assert 'href="a.html"' in rows["a"][0]
    made = pages(several)
    assert made.keys() == {"a.html", "a/labels/seg.html", "index.html"}
    # Once the reason is removed, only what is missing is done.
    save(several.directory / "not.nii", 3)
    several("report")
    now = pages(several)
    assert not any(failed for _, failed in listed(several).values())
    assert now.keys() == made.keys() | {"not.html"}
    assert [now[name] for name in ("a.html", "a/labels/seg.html")] == [
        made[name] for name in ("a.html", "a/labels/seg.html")
    ]
    assert "Nothing to be done" in several("report").output
    assert pages(several) == now


@pytest.fixture(scope="module")
def done(make_workflow, convert_once, mri) -> Workflow:
    """A T1 that one run has converted by jobs of its own, and another made a page of."""
    config = {"source": "anatomical.nii", "zarr": {"chunk": 16}}
    made = make_workflow(config)
    convert_once(config, mri / "anatomical.nii").copy_to(made.directory)
    before = made.tree()
    assert made("report").jobs == {"report_sample", "report"}
    assert made.tree() == before
    return made


@pytest.fixture
def reported(done, workflow) -> Workflow:
    done.copy_to(workflow.directory)
    return workflow


def test_store_of_an_earlier_run_gets_a_page(reported):
    assert pages(reported).keys() == {"anatomical.html", "index.html"}
    text = (reported.output / "reports/anatomical.html").read_text()
    for step in ("level 0: write the voxels of the source", "levels 1 to 2: downsample", "verify"):
        assert f'<th scope="row">{step}</th>' in text


def test_page_is_made_again_only_if_the_store_has_changed(reported):
    made = pages(reported)
    assert "Nothing to be done" in reported("report").output
    reported.config["pyramid"] = {"mode": "median"}
    assert {"pyramid_level/2", "report_sample", "report"} <= reported("report").jobs
    now = pages(reported)
    assert all(now[name] > made[name] for name in made)
    assert "pyramid.mode" in (reported.output / "reports/anatomical.html").read_text()
    assert "Nothing to be done" in reported("report").output


def test_deleted_pages_are_made_again(reported, done):
    folder = reported.output / "reports"
    before = {file: file.read_bytes() for file in folder.rglob("*.*")}
    assert len(before) == 3
    shutil.rmtree(folder)
    reported("report")
    # They name the directory of the run.
    here, there = (str(made.directory).encode() for made in (reported, done))
    for file, content in before.items():
        assert file.read_bytes().replace(here, there) == content


@pytest.mark.parametrize("name", ["anatomical.html", "index.html"])
def test_files_of_others_are_kept(reported, name):
    file = reported.output / "reports" / name
    file.write_bytes(b"mine")
    run = reported("report", check=False)
    assert f"{file.relative_to(reported.directory)} was not written by this" in run.output
    assert "Traceback" not in run.output
    assert run.rules == set()
    assert file.read_bytes() == b"mine"


def test_page_of_a_small_sample_can_be_made_by_its_name(workflow):
    workflow.bundle = True
    run = workflow("results/reports/anatomical.html")
    assert run.jobs == {"convert_bundle", "report_sample"}


def test_report_of_snakemake_has_the_page(reported):
    reported("report", "--report", "snakemake.html")
    text = (reported.directory / "snakemake.html").read_text()
    assert "reports/anatomical.html" in text
    page = (reported.output / "reports/anatomical.html").read_bytes()
    assert base64.b64encode(page).decode() in text
