"""`neurozarr.convert` writes the same bytes as the workflow and repeats no work."""

import doctest
import gzip
import os
import shutil

import pytest

import neurozarr
from neurozarr.errors import ConfigError, OwnershipError

from ..runs import Workflow


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"resources": {"block_mb": 0.04}, "pyramid": {"mode": "median"}},
        {"zarr": {"chunk": 8, "zarr_version": 2, "compressor": "zlib"}, "nifti": {"nii": False}},
    ],
    ids=["defaults", "blocks", "v2"],
)
def test_convert_writes_the_same_bytes_as_the_workflow(workflow, convert_once, tmp_path, config):
    source = workflow.directory / "anatomical.nii"
    workflow = convert_once(workflow.config | config, source)
    options = {name: value for name, value in workflow.config.items() if name != "source"}
    store = neurozarr.convert(source, tmp_path / "out", threads=2, **options)
    made = Workflow(workflow.root, tmp_path, workflow.config | {"output": "out"})
    assert store == made.store()
    assert made.tree() == workflow.tree()


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_second_call_redoes_only_what_is_missing(tmp_path, mri):
    source = shutil.copy(mri / "anatomical.nii", tmp_path)
    options = {"zarr": {"chunk": 16}, "resources": {"block_mb": 0.02}}
    store = neurozarr.convert(source, tmp_path / "out", **options)
    before = times(tmp_path)
    assert neurozarr.convert(source, tmp_path / "out", **options) == store
    assert times(tmp_path) == before
    state = tmp_path / "out/.state" / store.name
    for lost in (state / "1/block-0.json", store / "zarr.json", state / "verify.json"):
        content = {path.relative_to(store): path.read_bytes() for path in times(store)}
        lost.unlink()
        neurozarr.convert(source, tmp_path / "out", **options)
        assert lost.exists()
        assert {path.relative_to(store): path.read_bytes() for path in times(store)} == content
        after = times(tmp_path)
        assert after[state / "0/block-0.json"] == before[state / "0/block-0.json"]
    shutil.rmtree(store / "1")
    neurozarr.convert(source, tmp_path / "out", **options)
    assert {path.relative_to(store): path.read_bytes() for path in times(store)} == content


def test_changed_option_redoes_only_what_depends_on_it(tmp_path, mri):
    source = shutil.copy(mri / "anatomical.nii", tmp_path)
    store = neurozarr.convert(source, tmp_path / "out", zarr={"chunk": 16})
    before = times(store)
    mode = {"pyramid": {"mode": "stride"}}
    neurozarr.convert(source, tmp_path / "out", zarr={"chunk": 16}, **mode)
    after = times(store)
    assert after[store / "0/zarr.json"] == before[store / "0/zarr.json"]
    assert after[store / "1/c/0/0/0"] != before[store / "1/c/0/0/0"]
    fresh = neurozarr.convert(source, tmp_path / "fresh", zarr={"chunk": 16}, **mode)
    assert {path.relative_to(store): path.read_bytes() for path in after} == {
        path.relative_to(fresh): path.read_bytes() for path in times(fresh)
    }


def test_convert_raises_the_errors_of_the_workflow(tmp_path, mri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii", "b.nii"):
        shutil.copy(mri / "anatomical.nii", name)
    with pytest.raises(ConfigError, match="2 images; convert them one by one"):
        neurozarr.convert("*.nii", "out")
    with pytest.raises(ConfigError, match=r"unknown option zarr\.chunks; did you mean chunk"):
        neurozarr.convert("a.nii", "out", zarr={"chunks": 3})
    os.makedirs("out/a.nii.zarr")
    with open("out/a.nii.zarr/mine", "w"):
        pass
    with pytest.raises(OwnershipError, match="mine was not written by this workflow"):
        neurozarr.convert("a.nii", "out")


def test_example_in_the_package_docstring_runs(tmp_path, mri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with gzip.open("scan.nii.gz", "wb") as file:
        file.write((mri / "anatomical.nii").read_bytes())
    found = doctest.testmod(neurozarr)
    assert (found.failed, found.attempted) == (0, 4)
