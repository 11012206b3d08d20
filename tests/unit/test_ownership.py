"""Which files of a store the workflow recognizes as its own."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.drivers import open_array
from neurozarr.errors import OwnershipError
from neurozarr.run import ownership
from neurozarr.run.paths import StorePaths
from neurozarr.samples import rerun
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.metadata import array_document


@st.composite
def arrays(draw):
    """Metadata of an array of any Zarr version and separator, with or without shards."""
    version = draw(st.sampled_from([2, 3]))
    shape = draw(st.lists(st.integers(1, 7), min_size=2, max_size=4))
    shards = draw(st.sampled_from([None, 2])) if version == 3 else None
    chunks = tuple(draw(st.integers(1, 3)) for _ in shape)
    config = ZarrConfig(
        zarr_version=version, dimension_separator=draw(st.sampled_from("./")), compressor=None
    )
    return array_document(
        shape,
        np.dtype("u1"),
        chunks=chunks,
        shards=shards and tuple(shards * chunk for chunk in chunks),
        config=config,
    )


def make(folder, document):
    """Write an array with both drivers, and its ownership record."""
    version = document["zarr_format"]
    paths = StorePaths(output=str(folder), sample="a", nii=True, zarr_version=version)
    store = paths.store
    ownership.record(paths, "0", [document])
    name = ".zarray" if document["zarr_format"] == 2 else "zarr.json"
    (store / "0").mkdir(parents=True)
    (store / "0" / name).write_text(json.dumps(document))
    for driver in ("tensorstore", "zarr-python"):
        open_array(store / "0", driver=driver)[...] = 1
    return paths


@given(arrays(), st.sampled_from(["x", "0/x", "0/c/x", "0/c/9/9/9", "0/0.0.x", "1/zarr.json"]))
def test_only_files_of_the_recorded_array_are_owned(document, foreign):
    with tempfile.TemporaryDirectory() as folder:
        paths = make(Path(folder), document)
        ownership.check(paths)
        path = paths.store / foreign
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"precious": true}')
        with pytest.raises(OwnershipError, match=f"/{foreign} was not written by this workflow"):
            ownership.check(paths)
        if foreign.startswith("0/"):
            with pytest.raises(OwnershipError):
                ownership.remove(paths, "0")
            assert path.exists()
        path.unlink()
        ownership.remove(paths, "0")
        assert not paths.level(0).folder.exists()


@pytest.fixture
def made(tmp_path):
    config = ZarrConfig(compressor=None)
    document = array_document((4, 4), np.dtype("u1"), chunks=(2, 2), shards=None, config=config)
    return make(tmp_path, document)


def test_edited_metadata_are_foreign_but_damaged_ones_are_owned(made):
    paths = made
    file = paths.level(0).document
    whole = json.loads(file.read_text())
    file.write_text(json.dumps(whole))  # Only the white space differs.
    ownership.check(paths)
    file.write_text(json.dumps(whole | {"attributes": {"note": "precious"}}))
    with pytest.raises(OwnershipError, match=r"0/zarr\.json was not written by this workflow"):
        ownership.remove(paths, "0")
    for damage in (b"", b"\0" * 99, file.read_bytes()[:50]):
        file.write_bytes(damage)
        ownership.check(paths)


def test_without_a_record_every_file_is_foreign(made):
    paths = made
    shutil.rmtree(paths.state)
    with pytest.raises(OwnershipError, match=r"0/c/0/0 was not written by this workflow"):
        ownership.check(paths)


def test_damaged_metadata_without_a_record_are_foreign(made):
    paths = made
    shutil.rmtree(paths.state)
    shutil.rmtree(paths.level(0).folder / "c")
    paths.level(0).document.write_text("mine")
    with pytest.raises(OwnershipError, match=r"0/zarr\.json was not written by this workflow"):
        ownership.remove(paths, "0")
    assert paths.level(0).document.read_text() == "mine"


def test_file_or_broken_link_in_place_of_a_store_is_foreign(tmp_path):
    paths = StorePaths(output=str(tmp_path), sample="a", nii=True, zarr_version=3)
    store = paths.store
    store.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OwnershipError, match="was not written by this workflow"):
        ownership.check(paths)
    store.unlink()
    store.write_text("precious")
    with pytest.raises(OwnershipError, match="was not written by this workflow"):
        ownership.check(paths)


@pytest.mark.parametrize(
    ("read", "apart"),
    [
        ("out/a.nii.zarr", False),
        ("out/a.nii.zarr/0", False),
        ("out/.state/a.nii.zarr", False),
        ("out/nifti/a_level-0.nii.gz", False),
        ("link", False),
        ("x/../out/a.nii.zarr", False),
        ("out", False),
        (".", False),
        ("out/b.nii.zarr", True),
        ("out/a.nii.zarr.nii", True),
        ("a.nii", True),
    ],
)
def test_read_paths_must_not_overlap_written_paths(tmp_path, monkeypatch, read, apart):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("out/a.nii.zarr")
    written = [Path("out/a.nii.zarr"), Path("out/.state"), Path("out/nifti")]
    if apart:
        rerun.Written(written).check_apart([Path(read)])
    else:
        with pytest.raises(OwnershipError, match="choose another output"):
            rerun.Written(written).check_apart([Path(read)])
