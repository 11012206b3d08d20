"""Arguments of each step of a conversion, derived from the plan of its sample.

Each function is named after a module of `neurozarr.steps`, and returns keyword arguments for the
function in its docstring, for a sample, the paths of its store, and the numbers of a level and a
block. The workflow and `neurozarr.convert` both use them, so that they write the same bytes.
"""

from __future__ import annotations

from typing import Any

from neurozarr.run.paths import StorePaths, coarse_levels
from neurozarr.samples.rerun import recipe_of
from neurozarr.samples.sample import Sample
from neurozarr.samples.settings import RunSettings

Arguments = dict[str, Any]


def create_array(sample: Sample, paths: StorePaths, *, level: int) -> Arguments:
    """Arguments of `neurozarr.steps.create_array.create_array`."""
    return {
        "document": sample.levels[level].document,
        "recipe": recipe_of(sample, level, paths),
        "source": [] if level else [str(file) for file in sample.files],
        "beside": {} if sample.existing is None else sample.existing.beside(_name(paths, level)),
    }


def _name(paths: StorePaths, level: int) -> str:
    return paths.level(level).folder.relative_to(paths.store).as_posix()


def write_base(sample: Sample, paths: StorePaths, *, block: int) -> Arguments:
    """Arguments of `neurozarr.steps.write_base.write_base`."""
    return {
        "source": sample.path,
        "layout": sample.known,
        "region": sample.levels[0].region(block),
        "slab": sample.levels[0].slab,
        "driver": sample.zarr.driver,
    }


def pyramid_level(sample: Sample, paths: StorePaths, *, level: int, block: int) -> Arguments:
    """Arguments of `neurozarr.steps.pyramid_level.write_level`."""
    return {
        "region": sample.levels[level].region(block),
        "parent_blocks": sample.parents(level, block),
        "factors": sample.levels[level].factors,
        "mode": sample.mode,
        "driver": sample.zarr.driver,
    }


def pyramid_levels(sample: Sample, paths: StorePaths, *, level: int, block: int) -> Arguments:
    """Arguments of `neurozarr.steps.pyramid_level.write_levels`, for the job of a block."""
    coarse = coarse_levels(sample.blocks)
    together = coarse if level in coarse else [level]
    return {
        "levels": [
            {
                "number": number,
                "block": block,
                "array": create_array(sample, paths, level=number) if number in coarse else None,
                "voxels": pyramid_level(sample, paths, level=number, block=block),
            }
            for number in together
        ]
    }


def ome_metadata(sample: Sample, paths: StorePaths) -> Arguments:
    """Arguments of `neurozarr.steps.ome_metadata.make_metadata`."""
    return {
        "blocks": sample.blocks,
        "attributes": sample.attributes,
        "channels": sample.channels,
        "driver": sample.zarr.driver,
    }


def extend_metadata(sample: Sample, paths: StorePaths) -> Arguments:
    """Arguments of `neurozarr.steps.extend_metadata.extend_metadata`."""
    axes = sample.source.file_axes
    return ome_metadata(sample, paths) | {"axis": axes.index("c") if "c" in axes else None}


def nifti_header(sample: Sample, paths: StorePaths) -> Arguments:
    """Arguments of `neurozarr.steps.nifti_header.publish_header`."""
    return {
        "source": sample.path,
        "overrides": sample.overrides,
        "options": sample.header_options,
        "driver": sample.zarr.driver,
    }


def write_sidecars(sample: Sample, paths: StorePaths) -> Arguments:
    """Arguments of `neurozarr.steps.write_sidecars.write_sidecars`."""
    return {"texts": sample.sidecars}


def verify_store(sample: Sample, paths: StorePaths) -> Arguments:
    """Arguments of `neurozarr.steps.verify_store.verify_store`."""
    return {
        "blocks": sample.blocks,
        "planned": sample.planned,
        "source": {
            "path": sample.path,
            "layout": sample.known,
            "slab": sample.levels[0].slab,
        },
        "driver": sample.zarr.driver,
    }


def report_sample(sample: Sample, run: RunSettings, *, directory: str) -> Arguments:
    """Arguments of `neurozarr.steps.report_sample.report_sample`, in a run's directory."""
    # Imported here, because it reads the schemas, which no other step needs.
    from neurozarr.samples.commands import convert_again, given_options

    return {
        "source": sample.path,
        "options": given_options(sample),
        "command": convert_again(sample, run, directory=directory),
        "driver": sample.zarr.driver,
    }


def export_nifti(sample: Sample, paths: StorePaths, *, level: int) -> Arguments:
    """Arguments of `neurozarr.steps.export_nifti.export_nifti`."""
    return {"driver": sample.zarr.driver}
