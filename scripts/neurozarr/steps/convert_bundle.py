"""Convert samples from the source to the published store, in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from neurozarr.errors import BundleError, NeurozarrError
from neurozarr.run import claims, extending, ownership, receipts, sidecars
from neurozarr.run.benchmarks import Stopwatch, folder_of
from neurozarr.run.joblog import logged_also
from neurozarr.run.partial import Partial
from neurozarr.run.paths import StorePaths
from neurozarr.samples import arguments, rerun
from neurozarr.samples.bundles import Redo
from neurozarr.samples.sample import Sample
from neurozarr.samples.settings import RunSettings
from neurozarr.steps.create_array import create_array
from neurozarr.steps.extend_metadata import extend_metadata
from neurozarr.steps.nifti_header import publish_header
from neurozarr.steps.ome_metadata import make_metadata
from neurozarr.steps.pyramid_level import write_level
from neurozarr.steps.verify_store import Verify, verify_store
from neurozarr.steps.write_base import write_base

logger = logging.getLogger(__name__)


def convert_sample(
    sample: Sample,
    paths: StorePaths,
    *,
    verify: Verify,
    threads: int,
    redo: Redo = "nothing",
    bundle: Partial | None = None,
) -> Stopwatch:
    """Run the steps of a conversion that are not done yet, and return what they took.

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
    redo
        Which finished steps are repeated: "nothing", "verify" or "all".
    bundle
        Counts the voxels that are written, if the sample is part of a bundle.
    """
    watch = Stopwatch()
    todo = rerun.Todo(sample, paths, verify=verify, everything=redo == "all")
    if paths.place and not todo.is_done():
        extending.check_writable(paths)
    written: set[tuple[int, int]] = set()
    # What says that the image is published.
    marks = [paths.ome_receipt] if paths.place else paths.group
    for number, level in enumerate(sample.levels):
        place = paths.level(number)
        if place.given:
            continue
        created = not todo.is_done(place.document, place.array_receipt)
        if created:
            if number == max(sample.first, 1):
                logger.info("%s: %s", paths.store, sample.mode_described)
            with watch.step("create_array", number):
                create_array(paths, number, **arguments.create_array(sample, paths, level=number))
            written.add((number, -1))
        for block in range(level.blocks):
            above = sample.parents(number, block) if number else []
            parents = [(number - 1, parent) for parent in above]
            receipt = place.block_receipt(block)
            done = not created and todo.is_done(receipt) and written.isdisjoint(parents)
            # Damage of a published image is for the verification to report.
            published = todo.is_done(*marks)
            if done and (published or not receipts.check_blocks(place, [block])):
                continue
            receipt.unlink(missing_ok=True)
            if number:
                told = arguments.pyramid_level(sample, paths, level=number, block=block)
                with watch.step("pyramid_level", number, block):
                    write_level(paths, number, block, **told, threads=threads, bundle=bundle)
            else:
                told = arguments.write_base(sample, paths, block=block)
                with watch.step("write_base", number, block):
                    write_base(paths, block, **told, threads=threads, bundle=bundle)
            written.add((number, block))
    done = not written and todo.is_done(paths.ome_receipt)
    if not done or not (paths.nii or todo.is_done(*marks)):
        with watch.step("ome_metadata"):
            if paths.place:
                extend_metadata(paths, **arguments.extend_metadata(sample, paths))
            else:
                make_metadata(paths, **arguments.ome_metadata(sample, paths))
        done = False
    if paths.nii and not (done and todo.is_done(*paths.group, *paths.header, paths.header_receipt)):
        with watch.step("nifti_header"):
            publish_header(paths, **arguments.nifti_header(sample, paths))
        done = False
    sidecars.write(paths, sample.sidecars)
    done = done and redo == "nothing"
    if verify != "none" and not (done and todo.is_done(paths.verify_receipt)):
        told = arguments.verify_store(sample, paths)
        with watch.step("verify_store"):
            verify_store(paths, verify=verify, **told, threads=threads)
    sample.source.close()
    return watch


def convert_bundle(
    samples: Sequence[Sample],
    run: RunSettings,
    *,
    log: Callable[[str], Path],
    redo: Redo,
    pages: bool = False,
    directory: str = "",
    threads: int,
    partial: Path,
) -> None:
    """Convert samples one by one, and make their pages; one that fails stops no other.

    Parameters
    ----------
    samples
        The samples to convert.
    run
        Settings of the run.
    log
        Returns the path of a sample's log, by its name.
    redo
        Which finished steps are repeated: "nothing", "verify" or "all".
    pages
        Whether pages are made that are missing or out of date.
    directory
        Directory in which the run was started, which the pages name.
    threads
        Number of sub-blocks that are written at once.
    partial
        File that tells how much is written (see `neurozarr.run.partial`).

    Raises
    ------
    BundleError
        Some samples failed. The message has a line for each, with the reason and the log.
    """
    failed: dict[str, str] = {}
    with Partial(partial) as bundle:
        for sample in samples:
            with _noted(failed, sample, log(sample.name)):
                paths = run.paths(sample.name)
                claims.check(paths.state)
                # A source that was unreadable when the run was planned may be readable now.
                ownership.check(paths, len(sample.blocks) if paths.place else 0)
                rerun.check_same_image(sample, paths, overwrite=run.overwrite)
                watch = convert_sample(
                    sample, paths, verify=run.verify, threads=threads, redo=redo, bundle=bundle
                )
                watch.write(folder_of(log(sample.name), sample.name))
    converted = [sample for sample in samples if sample.name not in failed]
    logger.info("%d of %d samples are converted", len(converted), len(samples))
    for sample in converted if pages else ():
        with _noted(failed, sample, log(sample.name), mode="a"):
            # Those of images show all labels that were converted here.
            alone = sample.image not in [other.name for other in samples]
            _report(sample, run, log=log(sample.name), directory=directory, with_image=alone)
    if failed:
        count = f"{len(failed)} of {len(samples)} samples failed"
        raise BundleError("\n".join([count, *failed.values()]))


@contextmanager
def _noted(
    failed: dict[str, str], sample: Sample, file: Path, *, mode: str = "w"
) -> Iterator[None]:
    """Log messages on a sample to its own log, too; note an error, and go on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with logged_also(file, mode):
        try:
            yield
        except Exception as error:
            logger.error("%s", error, exc_info=not isinstance(error, NeurozarrError))
            reason = f"{type(error).__name__}: {error} (more in {file})"
            failed[sample.name] = f"sample {sample.name}: {reason}"


def _report(
    sample: Sample, run: RunSettings, *, log: Path, directory: str, with_image: bool
) -> None:
    # Imported here, because a conversion alone does not need it.
    from neurozarr.report import page_records
    from neurozarr.steps.report_sample import report_sample

    paths = run.paths(sample.name)
    if not page_records.is_current(paths):
        report_sample(
            paths,
            with_image=with_image,
            benchmarks_in=str(folder_of(log, sample.name)),
            **arguments.report_sample(sample, run, directory=directory),
        )
