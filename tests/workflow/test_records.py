"""Receipts decide what is redone: from any directory, and if they are damaged."""

import os
import shutil

import nibabel
import numpy as np
import pytest

from .test_rerun import BASE, EVERYTHING, LEVELS, METADATA


@pytest.fixture
def forgetful(converted):
    """A conversion without Snakemake's own records."""
    shutil.rmtree(converted.directory / ".snakemake")
    return converted


def test_lost_snakemake_records_redo_nothing(forgetful):
    assert forgetful("--dry-run").jobs == set()


@pytest.mark.parametrize(
    ("group", "options", "jobs"),
    [
        ("pyramid", {"mode": "median"}, LEVELS | METADATA),
        ("zarr", {"chunk": 12}, EVERYTHING),
        ("zarr", {"chunk": 16, "driver": "zarr-python"}, None),
        ("ome", {"name": "brain"}, METADATA),
        ("nifti", {"center": False}, set()),
    ],
)
def test_changed_option_is_found_without_snakemake_records(forgetful, fresh, group, options, jobs):
    forgetful.config[group] = options
    ran = forgetful().jobs
    assert jobs is None or jobs <= ran
    if jobs is not None and "create_array/0" not in jobs:
        assert not BASE & ran
    assert forgetful.tree() == fresh(forgetful)
    assert forgetful("--dry-run").jobs == set()


def test_changed_option_is_found_from_another_directory(converted, make_workflow, fresh):
    other = make_workflow(converted.config | {"output": str(converted.output)})
    other.config["source"] = str(converted.directory / "anatomical.nii")
    assert other("--dry-run").jobs == set()
    other.config["pyramid"] = {"mode": "median"}
    assert other().jobs == LEVELS | METADATA
    converted.config["pyramid"] = {"mode": "median"}
    assert converted.tree() == fresh(converted)


def test_source_replaced_by_an_older_file_is_converted_again(converted, fresh):
    source = converted.directory / "anatomical.nii"
    image = nibabel.load(source)
    voxels = np.asarray(image.dataobj.get_unscaled())[::-1].copy()
    nibabel.Nifti1Image(voxels, image.affine).to_filename(source)
    os.utime(source, (10**9, 10**9))
    assert converted().jobs == EVERYTHING
    assert converted.tree() == fresh(converted)


@pytest.mark.parametrize("damage", [b"", None, b"\0" * 100], ids=["empty", "half", "nul"])
def test_all_damaged_receipts_are_written_again(converted, fresh, damage):
    whole = fresh(converted)
    state = converted.state / "anatomical.nii.zarr"
    records = [path for path in state.rglob("*.json") if path.name != "owned.json"]
    files = [*records, converted.store() / "1/zarr.json"]
    assert len(records) >= 10
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    dry = converted("--dry-run")
    assert dry.jobs >= EVERYTHING
    run = converted()
    assert "Traceback" not in run.output
    # Once when it is found, and once at the end.
    assert run.output.count(f"{state.relative_to(converted.directory)}/ome.json is damaged") == 2
    assert converted.tree() == whole
    assert converted("--dry-run").jobs == set()


@pytest.mark.parametrize("record", ["0/array.json", "1/block-0.json", "header.json", "verify.json"])
def test_damaged_receipt_is_written_again(converted, record):
    whole = converted.tree()
    (converted.state / "anatomical.nii.zarr" / record).write_bytes(b'{"nonce": ')
    assert converted().jobs
    assert converted.tree() == whole
    assert converted("--dry-run").jobs == set()


def test_new_kernel_version_redoes_its_levels(converted, tmp_path):
    package = converted.root / "scripts"
    patched = tmp_path / "patched"
    shutil.copytree(converted.root, patched, ignore=shutil.ignore_patterns(".*", "tests", "demo"))
    kernels = patched / package.name / "neurozarr/voxels/kernels.py"
    converted.root = patched
    # A change within a second that keeps the size is not found by Python if it has a compiled file.
    converted.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    kernels.write_text(kernels.read_text().replace('"median": 1', '"median": 2'))
    assert converted("--dry-run").jobs == set()
    kernels.write_text(kernels.read_text().replace('"mean": 1', '"mean": 2'))
    assert converted("--dry-run").jobs == LEVELS | METADATA
