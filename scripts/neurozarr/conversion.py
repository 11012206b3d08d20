"""The whole conversion of a volume in one call, without Snakemake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neurozarr.errors import ConfigError, NeurozarrError
from neurozarr.run import ownership
from neurozarr.samples import rerun
from neurozarr.samples.sheet import read_run
from neurozarr.steps.convert_bundle import convert_sample


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    threads: int = 1,
    **options: Any,
) -> Path:
    """Convert a volume into a multi-resolution store, with the bytes that the workflow writes.

    What an earlier call, or a run of the workflow, has done already is not done again, and what was
    interrupted is finished. Nothing keeps two calls, or a call and a run, from converting one
    volume at once: that is for the caller to do.

    Parameters
    ----------
    source
        A file, a directory, a pattern or an address.
    output
        Directory of the store, which is named after the source.
    threads
        How many chunks are encoded at once.
    **options
        Options of the configuration: groups such as ``zarr={"chunk": 64}``, and ``verify`` and
        ``overwrite``.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    ConfigError
        An option is wrong, or the source is not there, or is several volumes.
    SourceError
        The source cannot be converted.
    OwnershipError
        The store holds what this would overwrite.
    StoreError, DamageError
        The store cannot be written, or is not what was written.
    """
    run, samples = read_run(options | {"source": os.fspath(source), "output": os.fspath(output)})
    if len(samples) > 1:
        raise ConfigError(f"{source}: {len(samples)} volumes; convert them one by one")
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
