"""What is known of sources that rules make before they exist, and after they were deleted."""

import os

import nibabel
import numpy as np
import pytest

import neurozarr
from neurozarr.errors import ConfigError
from neurozarr.samples import made
from neurozarr.samples.reading import read_run

from . import dicoms


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sample_of(**config):
    run, samples = read_run(config, absent=[])
    (sample,) = samples.values()
    return run, sample


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("made/a.nii.gz", ["made/a.nii.gz"]),
        ("made/a.hdr", ["made/a.hdr", "made/a.img"]),
        ("made/a.img.gz", ["made/a.img.gz", "made/a.hdr.gz"]),
        ("made/a.BRIK", ["made/a.BRIK", "made/a.HEAD"]),
        ("made/a/z_{z}.tif", ["made/a"]),
        ("{z}.tif", ["."]),
        ("made/a.nii;made/b.nii", ["made/a.nii", "made/b.nii"]),
        ("http://localhost/a.zarr", []),
    ],
)
def test_paths_are_known_before_they_exist(source, paths):
    _, sample = sample_of(source=source, nifti={"header": "h.nii"})
    assert list(made.read_paths(sample)) == [*paths, "h.nii"]


def test_glob_of_a_stack_is_made_with_its_directory(tmp_path):
    (tmp_path / "s.tsv").write_text("sample\tsource\na\tmade/a/*.tif\n")
    _, sample = sample_of(samples="s.tsv")
    assert list(made.read_paths(sample)) == ["made/a"]


def test_labels_are_read_with_their_image(tmp_path):
    (tmp_path / "s.tsv").write_text("sample\tsource\tlabel_of\na\tmade/a.nii\t\nb\tmade/b.nii\ta\n")
    samples = read_run({"samples": "s.tsv"}, absent=[])[1]
    assert list(made.read_paths(samples["a/labels/b"])) == ["made/b.nii", "made/a.nii"]


def test_rules_may_name_a_path_in_several_ways(tmp_path):
    for path in ("a/b.nii", "./a/b.nii", "a/../a//b.nii", str(tmp_path / "a/b.nii")):
        found = made.spellings(path)
        assert found[0] == path
        assert {"a/b.nii", str(tmp_path / "a/b.nii")} <= {*found}
        assert len({os.path.realpath(spelling) for spelling in found}) == 1


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"samples": "no.tsv"}, "config: samples no.tsv: there is no such file"),
        ({"source": "raw/*.mgz"}, "config: source 'raw/*.mgz' matches no file"),
        (
            {"source": "a.czi", "dataset": "*"},
            "config: source a.czi does not exist, so that its images (dataset is *) are not known: "
            "make it, then run again",
        ),
    ],
)
def test_what_hides_the_names_of_samples_is_told(config, reason):
    absent = []
    assert read_run(config, absent=absent)[1] == {}
    assert absent == [reason]
    with pytest.raises(ConfigError):
        read_run(config)


def test_samples_are_named_alike_before_and_after_they_exist(tmp_path):
    sources = ["a b.nii.gz", "s/z_{z}.tif", "x.zarr", "dicom"]
    before = list(read_run({"source": sources}, absent=[])[1])
    dicoms.series(tmp_path / "dicom")
    np.save(tmp_path / "x.npy", np.zeros(3))
    for source in sources[:1]:
        (tmp_path / source).touch()
    assert list(read_run({"source": sources}, absent=[])[1]) == before


def test_a_dicom_source_is_recognized_when_it_is_there(tmp_path):
    run, sample = sample_of(source="dicom", dicom={"derived": False})
    assert "dicom" not in sample.layout
    dicoms.series(tmp_path / "dicom")
    assert made.when_there(sample, run) == sample_of(source="dicom", dicom={"derived": False})[1]


def test_a_deleted_source_is_needed_if_its_store_is_not_complete(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), "u1"), np.eye(4)), "a.nii")
    run, sample = sample_of(source="a.nii", zarr={"chunk": 4}, output="out")
    paths = run.paths("a")
    neurozarr.convert("a.nii", "out", zarr={"chunk": 4})
    assert not made.seems_done(sample, paths, run)  # No rule made it.
    paths.source_receipt.write_text(made.digest(sample, run))
    os.unlink("a.nii")
    assert made.seems_done(sample, paths, run)
    assert not made.is_exported(sample, paths)
    for other in ({"zarr": {"chunk": 5}}, {"verify": "full"}, {"voxel_size": 2}):
        config = {"source": "a.nii", "zarr": {"chunk": 4}, "output": "out"} | other
        changed_run, changed = sample_of(**config)
        assert not made.seems_done(changed, paths, changed_run)
    for file in (paths.group[0], paths.verify_receipt, paths.level(1).document):
        content = file.read_bytes()
        file.unlink()
        assert not made.seems_done(sample, paths, run)
        file.write_bytes(content)
    assert made.seems_done(sample, paths, run)
