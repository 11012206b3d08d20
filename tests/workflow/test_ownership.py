"""A run never overwrites or deletes sources, foreign files or images of other sources."""

import hashlib
import json
import os
import shutil

import nibabel
import numpy as np
import pytest
import zarr


def tree(folder):
    """Map the path of each file below a directory to a checksum."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refusal(run):
    """The error, in one line, of a run that stopped with an error."""
    assert run.code == 1, run.output
    assert "Traceback" not in run.output
    return run.output.strip().splitlines()[-1]


def another_volume(path):
    image = nibabel.Nifti1Image(np.arange(20 * 20 * 20, dtype="i2").reshape(20, 20, 20), np.eye(4))
    path.parent.mkdir(exist_ok=True)
    image.to_filename(path)
    return path


def test_source_store_in_the_output_is_not_overwritten(workflow):
    data = workflow.directory / "data"
    group = zarr.open_group(str(data / "a.ome.zarr"), mode="w")
    group.create_array("0", data=np.ones((9, 9, 9), "u1"), dimension_names=["z", "y", "x"])
    workflow.config |= {"source": "data/a.ome.zarr", "output": "data"}
    workflow()
    source = tree(data / "a.ome.zarr")
    assert (data / "a.nii.zarr/zarr.json").exists()
    workflow.config["nifti"] = {"nii": False}
    message = refusal(workflow(check=False))
    assert "source data/a.ome.zarr" in message
    assert "choose another output" in message
    assert tree(data / "a.ome.zarr") == source


def test_store_is_not_converted_onto_itself(converted):
    store, whole = converted.store(), converted.tree()
    (converted.directory / "anatomical.nii").unlink()
    link = converted.directory / "link.nii.zarr"
    link.symlink_to(store)
    converted.config["zarr"]["zarr_version"] = 2
    converted.config["zarr"]["compressor"] = "zlib"
    for source in (f"results/{store.name}", link.name):
        converted.config["source"] = source
        if source == link.name:
            sheet = converted.directory / "sheet.tsv"
            sheet.write_text(f"sample\tsource\nanatomical\t{source}\n")
            converted.config |= {"samples": sheet.name, "source": None}
        assert "would be overwritten, because this run writes" in refusal(converted(check=False))
    assert converted.tree() == whole


def test_header_template_in_the_output_is_not_overwritten(converted):
    template = f"results/{converted.store().name}"
    another_volume(converted.directory / "other.nii")
    converted.config |= {"source": "other.nii", "nifti": {"header": template}}
    converted()
    converted.config |= {"source": "*.nii"}
    assert template in refusal(converted(check=False))


@pytest.mark.parametrize("foreign", ["0/precious.txt", "7/prec", "nifti/prec", "0/c/0/0/9", "x"])
def test_foreign_files_in_place_of_a_store_are_kept(converted, foreign):
    shutil.rmtree(converted.store())
    path = converted.store() / foreign
    path.parent.mkdir(parents=True)
    path.write_text("not to be lost")
    message = refusal(converted(check=False))
    assert f"results/anatomical.nii.zarr/{foreign} was not written by this workflow" in message
    assert path.read_text() == "not to be lost"


def test_foreign_image_in_place_of_a_store_is_kept(converted):
    shutil.rmtree(converted.store())
    group = zarr.open_group(str(converted.store()), mode="w")
    group.create_array("0", data=np.ones((25, 41, 33), "u1"), chunks=(16, 16, 16))
    foreign = tree(converted.store())
    assert "zarr.json was not written by this workflow" in refusal(converted(check=False))
    assert tree(converted.store()) == foreign


def test_foreign_store_of_the_other_suffix_is_kept(converted):
    store = converted.output / "anatomical.ome.zarr"
    group = zarr.open_group(str(store), mode="w")
    group.create_array("0", data=np.ones((25, 41, 33), "u1"), chunks=(16, 16, 16))
    foreign = tree(store)
    converted.config["nifti"] = {"nii": False}
    assert "anatomical.ome.zarr cannot be changed" in refusal(converted(check=False))
    assert tree(store) == foreign


def test_link_in_place_of_a_level_is_not_followed(converted):
    elsewhere = converted.directory / "elsewhere"
    (converted.store() / "1").rename(elsewhere)
    (converted.store() / "1").symlink_to(elsewhere)
    whole = tree(elsewhere)
    converted.config["pyramid"] = {"mode": "median"}
    assert "anatomical.nii.zarr/1 was not written" in refusal(converted(check=False))
    assert tree(elsewhere) == whole


def test_file_added_to_a_level_is_not_deleted(converted):
    note = converted.store() / "1/note.txt"
    note.write_text("not to be lost")
    converted.config["pyramid"] = {"mode": "median"}
    assert "1/note.txt was not written by this workflow" in refusal(converted(check=False))
    assert note.read_text() == "not to be lost"


def test_store_moved_with_its_receipts_can_be_updated(converted, make_workflow, fresh):
    other = make_workflow(converted.config)
    shutil.copytree(converted.output, other.output, copy_function=shutil.copy)
    shutil.copy(converted.directory / "anatomical.nii", other.directory)
    shutil.rmtree(other.store() / "1")
    other()
    assert other.tree() == fresh(converted)
    other.config["pyramid"] = {"mode": "median"}
    other()
    assert other.tree() == fresh(other)


def test_source_with_the_same_name_needs_overwrite(converted):
    whole = converted.tree()
    another_volume(converted.directory / "p2/anatomical.nii")
    converted.config["source"] = "p2/anatomical.nii"
    message = refusal(converted(check=False))
    assert "holds the image of /" in message
    assert str(converted.directory / "p2/anatomical.nii") in message
    assert "overwrite: true" in message
    assert converted.tree() == whole
    converted.config["overwrite"] = True
    converted()
    assert converted.tree() != whole


def test_moved_source_is_not_converted_again(converted):
    (converted.directory / "p2").mkdir()
    os.rename(converted.directory / "anatomical.nii", converted.directory / "p2/anatomical.nii")
    converted.config["source"] = "p2/anatomical.nii"
    assert converted("--dry-run").jobs == set()
    os.utime(converted.directory / "p2/anatomical.nii", (0, 0))
    assert converted("--dry-run").jobs == set()


def test_group_metadata_are_written_last(converted):
    files = [path for path in converted.store().rglob("*") if path.is_file()]
    last = converted.store() / "zarr.json"
    assert last.stat().st_mtime_ns == max(path.stat().st_mtime_ns for path in files)
    assert "multiscales" in json.loads(last.read_text())["attributes"]["ome"]


def test_export_does_not_overwrite_foreign_files(converted):
    path = converted.directory / "results/nifti/anatomical_level-1.nii.gz"
    path.parent.mkdir()
    path.write_bytes(b"segmented by hand")
    converted.config["export"] = {"levels": [0, 1]}
    assert f"{path.relative_to(converted.directory)} was not written by" in refusal(
        converted("export", check=False)
    )
    assert path.read_bytes() == b"segmented by hand"
    path.unlink()
    converted("export")
    whole = tree(path.parent)
    (converted.state / "anatomical.nii.zarr/0/block-0.json").unlink()
    converted("export")
    assert tree(path.parent) == whole
    edited = nibabel.load(path)
    edited.header["descrip"] = b"mine"
    nibabel.Nifti1Image(edited.dataobj.get_unscaled(), None, edited.header).to_filename(path)
    whole = tree(path.parent)
    assert "or was edited" in refusal(converted("export", check=False))
    assert tree(path.parent) == whole
