"""The target export, on every test image of nibabel."""

import gzip
import shutil

import nibabel
import numpy as np
import pytest
from nibabel.openers import ImageOpener

from neurozarr import nifti
from neurozarr.errors import SourceError
from neurozarr.sources import open_source

#: Images that cannot be converted, and the error.
REFUSED = {
    "row_major.dconn.nii": "a CIFTI file",  # a matrix, not a volume
    "nifti1.hdr": "is missing",  # a header without its voxels
    "nifti2.hdr": "is missing",
    "analyze.hdr": "is missing",
}


def readable(mri):
    """The images in nibabel's test data that can be converted."""
    endings = (".nii", ".nii.gz", ".hdr", ".mgz", ".mgh", ".img")
    images = sorted(path for path in mri.iterdir() if path.name.endswith(endings))
    return [path for path in images if path.name not in REFUSED]


@pytest.mark.parametrize("name", REFUSED)
def test_file_without_a_volume_is_an_error(mri, name):
    with pytest.raises(SourceError, match=REFUSED[name]):
        open_source(mri / name)


@pytest.fixture(scope="module")
def exported(make_workflow, mri):
    made = make_workflow({"source": [str(path) for path in readable(mri)]})
    made.config |= {"zarr": {"chunk": 16}, "export": {"levels": [0]}}
    made.bundle = True
    made("export")
    return made


def stored(path):
    with ImageOpener(path) as file:
        return file.read()


# nibabel does not close the files of MGH images.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_exported_level_0_equals_the_source(exported, mri):
    paths = readable(mri)
    assert len(paths) >= 6
    for path in paths:
        name = path.name.split(".")[0]
        back = exported.directory / f"results/nifti/{name}_level-0.nii.gz"
        if path.name.endswith((".nii", ".nii.gz")):
            assert gzip.decompress(back.read_bytes()) == stored(path), path
        else:
            image, found = nibabel.load(path), nibabel.load(back)
            np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(image.dataobj))
            np.testing.assert_allclose(found.affine, image.affine, rtol=1e-6)
            np.testing.assert_allclose(found.header.get_zooms(), image.header.get_zooms())


def test_export_is_redone_only_if_its_image_changes(workflow):
    workflow.config["export"] = {"levels": [0, 2, 3]}
    run = workflow("export")
    assert (
        "sample anatomical: export.levels is [0, 2, 3], but its coarsest level is 2" in run.output
    )
    assert workflow("export", "--dry-run").jobs == set()
    folder = workflow.directory / "results/nifti"
    assert sorted(path.name for path in folder.iterdir()) == [
        "anatomical_level-0.nii.gz",
        "anatomical_level-2.nii.gz",
    ]
    level = nibabel.load(folder / "anatomical_level-2.nii.gz")
    source = nibabel.load(workflow.directory / "anatomical.nii")
    np.testing.assert_allclose(level.affine[:3, :3], 4 * source.affine[:3, :3])
    workflow.config["pyramid"] = {"mode": "stride"}
    workflow("export")
    level = nibabel.load(folder / "anatomical_level-2.nii.gz")
    whole = source.dataobj.get_unscaled()
    shape = tuple(length // 4 for length in whole.shape)
    expected = whole[tuple(slice(0, 4 * length, 4) for length in shape)]
    np.testing.assert_array_equal(level.dataobj.get_unscaled(), expected)


def test_impossible_export_is_an_error_before_any_job(workflow):
    store = "results/.state/anatomical.nii.zarr"
    for target, message in (
        ("results/nifti/anatomical_level-3.nii.gz", "there is no level 3; the coarsest is 2"),
        (f"{store}/2/block-9.json", "there is no block 9 of level 2; the last is 0"),
    ):
        run = workflow(target, check=False)
        assert f"sample anatomical: {message}" in run.output
        assert "Traceback" not in run.output
    workflow.config |= {"nifti": {"nii": False}}
    run = workflow("export", check=False)
    assert "export needs stores with a NIfTI header" in run.output
    assert "Traceback" not in run.output
    assert not (workflow.directory / "results").exists()


def test_new_template_redoes_only_the_header(workflow, mri):
    shutil.copy(mri / "functional.nii", workflow.directory / "template.nii")
    workflow.config["nifti"] = {"header": "template.nii"}
    workflow()
    header = workflow.store() / "nifti/c/0"
    before = nifti.header_json(header.read_bytes())
    assert before["Description"] == "spm - 3D normalized"
    assert before["Dim"] == [33, 41, 25]
    raw = bytearray((workflow.directory / "template.nii").read_bytes())
    raw[148:152] = b"SPM!"
    (workflow.directory / "template.nii").write_bytes(raw)
    run = workflow()
    assert run.jobs == {"nifti_header", "verify_store"}
    assert nifti.header_json(header.read_bytes())["Description"].startswith("SPM!")


def test_ome_zarr_0_6_has_the_scanner_coordinate_system(make_workflow, mri):
    made = make_workflow({"source": str(mri / "example4d.nii.gz")})
    made.config |= {"ome": {"ome_version": "0.6"}, "zarr": {"chunk": 32}}
    made()
    group = made.group("example4d")
    (image,) = group["ome"]["multiscales"]
    assert [system["name"] for system in image["coordinateSystems"]] == ["intrinsic", "scanner"]
    assert image["metadata"]["kwargs"] == {
        "mode": "mean",
        "factors": [[2, 2, 2], [2, 2, 2]],
        "edge": "drop",
    }
    (channel,) = group["ome"]["omero"]["channels"]
    voxels = nibabel.load(mri / "example4d.nii.gz").dataobj.get_unscaled()
    assert channel["window"]["min"] == voxels.min()
    assert channel["window"]["max"] == voxels.max()
    assert voxels.min() <= channel["window"]["start"] < channel["window"]["end"] <= voxels.max()
