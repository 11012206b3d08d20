"""Conversion of an image in one call, without Snakemake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neurozarr.errors import ConfigError, NeurozarrError
from neurozarr.run import ownership
from neurozarr.run.paths import StorePaths
from neurozarr.samples import arguments, rerun
from neurozarr.samples.sample import Sample
from neurozarr.samples.sheet import read_run
from neurozarr.steps.create_array import create_array
from neurozarr.steps.nifti_header import publish_header
from neurozarr.steps.ome_metadata import make_metadata
from neurozarr.steps.pyramid_level import write_level
from neurozarr.steps.verify_store import Verify, verify_store
from neurozarr.steps.write_base import write_base


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threads: int = 1,
    **options: Any,
) -> Path:
    """Convert an image into a multi-resolution store, byte for byte as the workflow does.

    Steps that an earlier call or a run of the workflow has completed are not repeated, and an
    interrupted conversion is completed. There is no protection against two calls, or a call and a
    run, that convert the same image at the same time: the caller must prevent this.

    Parameters
    ----------
    source
        A file, a directory, a pattern or a URL.
    output
        Directory in which the store is created. The store is named after the source.
    threads
        Number of sub-blocks that are written at once.
    **options
        Options of the configuration: groups such as ``zarr={"chunk": 64}``, ``verify`` and
        ``overwrite``.

    Returns
    -------
    Path
        Path of the store.

    Raises
    ------
    ConfigError
        An option is not valid, or the source does not exist or is more than one image.
    SourceError
        The source cannot be converted.
    OwnershipError
        The conversion would overwrite files that neurozarr did not write, the source, or the image
        of another source.
    StoreError
        The store cannot be written.
    DamageError
        The verification found that the store differs from what was written.
    """
    run, samples = read_run(options | {"source": os.fspath(source), "output": os.fspath(output)})
    if len(samples) > 1:
        raise ConfigError(f"{source}: {len(samples)} images; convert them one by one")
    (sample,) = samples.values()
    paths = run.paths(sample.name)
    try:
        sample.check()
        sample.source.check()
        rerun.Written(run.written(samples)).check_apart(sample.read_paths)
        rerun.check_same_image(sample, paths, overwrite=run.overwrite)
        ownership.check(paths)
    except NeurozarrError as error:
        raise type(error)(f"sample {sample.name}: {error}") from None
    convert_sample(sample, paths, verify=run.verify, threads=threads)
    return paths.store


def convert_sample(sample: Sample, paths: StorePaths, *, verify: Verify, threads: int) -> None:
    """Run the steps of a conversion that are not done yet.

    Parameters
    ----------
    sample
        The sample to convert.
    paths
        Paths of its store.
    verify
        How the store is verified after it is published: "none", "quick" or "full".
    threads
        Number of sub-blocks that are written at once.
    """
    stale = set(rerun.stale(sample, paths, verify=verify))

    def is_done(*files: Path) -> bool:
        return all(file.exists() and file not in stale for file in files)

    written: set[tuple[int, int]] = set()
    for number, level in enumerate(sample.levels):
        place = paths.level(number)
        # As in the workflow, all arrays are created again if that of level 0 was.
        created = not is_done(place.document, place.array_receipt) or (0, -1) in written
        if created:
            create_array(paths, number, **arguments.create_array(sample, paths, level=number))
            written.add((number, -1))
        for block in range(level.blocks):
            parents = [(number - 1, n) for n in (sample.parents(number, block) if number else [])]
            if not created and is_done(place.block_receipt(block)) and written.isdisjoint(parents):
                continue
            place.block_receipt(block).unlink(missing_ok=True)
            if number:
                kwargs = arguments.pyramid_level(sample, paths, level=number, block=block)
                write_level(paths, number, block, **kwargs, threads=threads)
            else:
                kwargs = arguments.write_base(sample, paths, block=block)
                write_base(paths, block, **kwargs, threads=threads)
            written.add((number, block))
    done = not written and is_done(paths.ome_receipt)
    if not done or not (paths.nii or is_done(*paths.group)):
        make_metadata(paths, **arguments.ome_metadata(sample, paths))
        done = False
    if paths.nii and not (done and is_done(*paths.group, *paths.header, paths.header_receipt)):
        publish_header(paths, **arguments.nifti_header(sample, paths))
        done = False
    if verify != "none" and not (done and is_done(paths.verify_receipt)):
        kwargs = arguments.verify_store(sample, paths)
        verify_store(paths, verify=verify, **kwargs, threads=threads)
