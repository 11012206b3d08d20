"""Conversion of an image in one call, without Snakemake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neurozarr.bids import description
from neurozarr.errors import ConfigError, NeurozarrError
from neurozarr.run import ownership, sidecars
from neurozarr.samples import rerun
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample
from neurozarr.steps.describe_dataset import describe_dataset


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threads: int = 1,
    **options: Any,
) -> Path:
    """Convert an image into a multi-resolution store, byte for byte as the workflow does.

    Labels of an OME-Zarr image come along.

    Steps that an earlier call or a run of the workflow has completed are not repeated, and an
    interrupted conversion is completed. There is no protection against two calls, or a call and a
    run, that convert the same image at the same time: the caller must prevent this.

    Parameters
    ----------
    source
        A file, a directory, a pattern or a URL.
    output
        Directory in which the store is created. The store is named after the source. With
        ``in_place=True``, it gets only the receipts, and the levels are added to the source.
    threads
        Number of sub-blocks that are written at once.
    **options
        Options of the configuration: groups such as ``zarr={"chunk": 64}``, ``verify``,
        ``overwrite``, and what the source does not say, such as ``voxel_size=(4, 1.6, 1.6)``.

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
    images = [sample.name for sample in samples.values() if sample.label_of is None]
    if len(images) > 1:
        raise ConfigError(f"{source}: {len(images)} images; convert them one by one")
    written = rerun.Written(run.written(samples), run.groups())
    for folder in run.datasets:
        sidecars.check(run.derivative(folder), description.NAMES)
    for sample in samples.values():
        paths = run.paths(sample.name)
        try:
            sample.check()
            sample.source.check()
            written.check_sample(sample)
            rerun.check_same_image(sample, paths, overwrite=run.overwrite)
            ownership.check(paths, len(sample.blocks) if paths.place else 0)
            sidecars.check(paths, sample.sidecars)
        except NeurozarrError as error:
            raise type(error)(f"sample {sample.name}: {error}") from None
    for sample in samples.values():
        convert_sample(sample, run.paths(sample.name), verify=run.verify, threads=threads)
    for folder, roots in run.datasets.items():
        describe_dataset(run.derivative(folder), roots=roots)
    return run.paths(images[0]).store
