"""Large images are planned from their headers and converted in blocks."""

import shutil

import nibabel


def write_header(path, side, dtype):
    """Write a sparse NIfTI-2 file with a header but no voxels on the disk."""
    header = nibabel.Nifti2Header()
    header.set_data_shape((side,) * 3)
    header.set_data_dtype(dtype)
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    with open(path, "wb") as file:
        file.write(header.binaryblock)
        file.truncate(header.single_vox_offset + side**3 * header["bitpix"].item() // 8)


def test_ten_terabytes_are_planned_from_the_header(make_workflow):
    workflow = make_workflow({"source": "huge.nii"})
    write_header(workflow.directory / "huge.nii", 17_000, "u2")
    run = workflow("--dry-run")
    assert 100 < run.output.count("rule write_base:") < 500
    assert "would take more than 500 jobs (max_jobs)" in run.output


def test_block_depends_only_on_the_blocks_that_it_covers(workflow):
    workflow.config["resources"] = {"block_mb": 0.005}
    workflow.config["zarr"]["chunk"] = 8
    run = workflow("--dry-run")
    jobs = run.output.split("rule pyramid_level:")[1:]
    first = next(job for job in jobs if "level=1, block=0\n" in job)
    inputs = first.split("output:")[0]
    assert "/0/block-0.json" in inputs
    assert inputs.count("block-") < run.output.count("rule write_base:")


def test_only_a_deleted_block_is_written_again(workflow, convert_once):
    workflow.config["resources"] = {"block_mb": 0.04}
    convert_once(workflow.config, workflow.directory / "anatomical.nii").copy_to(workflow.directory)
    whole = workflow.tree()
    (workflow.directory / "results/.state/anatomical.nii.zarr/1/block-0.json").unlink()
    shutil.rmtree(workflow.store() / "nifti")
    run = workflow()
    assert "create_array/1" not in run.jobs
    assert run.output.count("rule write_base:") == 0
    assert workflow.tree() == whole
