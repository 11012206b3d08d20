"""What the target ``plan`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from neurozarr import tables
from neurozarr.preview import forecast
from neurozarr.preview.estimate import Estimate
from neurozarr.preview.forecast import Size
from neurozarr.preview.measure import Measurement
from neurozarr.preview.space import Free, Verdict, explain, replaced
from neurozarr.preview.work import Work
from neurozarr.tables import bytes_text, duration

#: Samples of which the levels are listed; of more samples, each has a line.
MAX_DETAILED = 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known of a run before it starts.

    Attributes
    ----------
    output
        Output directory.
    works
        What is left to be done for each sample that can be read.
    unreadable, waiting
        Number of samples that cannot be read, and of those whose sources other rules make first.
    bundles
        Number of jobs that convert several samples.
    descriptions
        Number of jobs that describe a BIDS derivative.
    bundle_memory_mb
        Most memory of one of them, in MB.
    verify
        How stores are verified.
    cores
        Number of processors; None on a cluster.
    options
        Options that differ from the defaults: name, value and default.
    check_space
        Whether a run that does not fit is refused.
    """

    output: str
    works: Sequence[Work]
    unreadable: int
    waiting: int
    bundles: int
    descriptions: int
    bundle_memory_mb: int
    verify: str
    cores: int | None
    options: Sequence[Sequence[str]]
    check_space: bool


def plan_text(
    plan: Plan, found: Estimate, fits: Sequence[tuple[Free, Sequence[Work], Verdict]]
) -> str:
    """Describe a run: levels of samples, jobs, size, time and free space."""
    works = plan.works
    if len(works) <= MAX_DETAILED:
        lines = [line for work in works for line in ["", *_levels(work, found)]]
    else:
        lines = ["", *_samples(works, found)]
    if plan.options:
        width = max(len(name) for name, *_ in plan.options)
        lines += ["", "options that differ from the defaults:"]
        lines += [f"  {n:<{width}}  {value} (default {old})" for n, value, old in plan.options]
    return "\n".join([*lines, "", *_totals(plan, found, fits)])


def _levels(work: Work, found: Estimate) -> list[str]:
    """A table of the levels of a sample, and what is known of its size and speed."""
    if not work.levels:
        return [
            f"{work.name}: {work.path}: {bytes_text(work.source_bytes)} of DICOM files, of which "
            "the levels are known after dcm2niix has converted them"
        ]
    lines = [
        f"{work.name}: {work.path} ({work.levels[0].dtype})",
        tables.level_line("level", "shape", "voxel size", "chunk", "MB voxels", "MB written"),
    ]
    rates = found.rates_of(work)
    for number, level in enumerate(work.levels):
        size = forecast.level_size(level, number, rates)
        lines.append(
            tables.level_line(
                str(number),
                tables.by(level.shape),
                tables.voxel_size(level.voxel_size),
                tables.by(level.chunks),
                f"{level.whole_bytes / 1e6:.2f}",
                f"{size.about / 1e6:.2f}" if level.blocks else "-",
            )
        )
    if work.is_done:
        return [*lines, "nothing to do: its store is complete"]
    if work.jobs:
        named = ", ".join(f"{count} {step}" for step, count in work.jobs.items())
        lines.append(
            f"{sum(work.jobs.values())} jobs: {named}; up to {work.memory_mb} MB of memory"
        )
    else:
        lines.append("converted together with other small samples")
    if measured := found.measured.get(work.name):
        lines.append(_measured(work, measured, found.threads))
    if failed := found.failed.get(work.name):
        lines.append(f"its chunks could not be measured: {failed}")
    return lines


def _measured(work: Work, measured: Measurement, threads: int) -> str:
    share = f"{100 * measured.share:.2g} % of its voxels" if measured.share < 1 else "all voxels"
    start = ", at the start of the compressed file," if measured.ratio_of_file is not None else ""
    with_threads = f"{threads} threads" if threads > 1 else "1 thread"
    return (
        f"measured: {share}{start} read at {measured.read / 1e6:.0f} MB/s and encoded at "
        f"{measured.encoded / 1e6:.0f} MB/s by {with_threads}"
    )


def _samples(works: Sequence[Work], found: Estimate) -> list[str]:
    """A table with a line for each sample."""
    width = max(len("sample"), *(len(work.name) for work in works))
    lines = [f"{'sample':<{width}}  {'shape':<23} {'type':<10} levels   jobs  MB voxels MB written"]
    for work in works:
        shape, dtype = "known after dcm2niix", ""
        if work.levels:
            shape, dtype = tables.by(work.levels[0].shape), work.levels[0].dtype
        voxels = sum(level.whole_bytes for level in work.levels) / 1e6
        jobs = sum(work.jobs.values())
        size = "-" if work.is_done else f"{found.size(work).about / 1e6:.2f}"
        lines.append(
            f"{work.name:<{width}}  {shape:<23} {dtype:<10} {len(work.levels):>6} "
            f"{jobs or '-':>6} {voxels:>10.2f} {size:>10}"
        )
    return lines


def _totals(
    plan: Plan, found: Estimate, fits: Sequence[tuple[Free, Sequence[Work], Verdict]]
) -> list[str]:
    works = plan.works
    left = [work for work in works if not work.is_done]
    head = "neurozarr: 1 sample" if len(works) == 1 else f"neurozarr: {len(works)} samples"
    if plan.unreadable:
        head += f", and {plan.unreadable} that cannot be read (see above)"
    if plan.waiting:
        head += f", and {plan.waiting} whose sources other rules make first"
    if not works:
        return [head]
    if not left:
        return [f"{head}; nothing to do: all stores are complete"]
    if len(left) < len(works):
        head += f", {len(left)} of them not complete"
    jobs = sum((Counter(work.jobs) for work in works), Counter[str]())
    jobs["convert_bundle"] += plan.bundles
    jobs["describe_dataset"] += plan.descriptions
    memory = max([plan.bundle_memory_mb, *(work.memory_mb for work in left)])
    size, files = found.total(works), sum(map(forecast.inodes, works))
    return [
        head,
        f"jobs:   {jobs.total()} ({', '.join(f'{n} {step}' for step, n in (+jobs).items())}); up "
        f"to {memory} MB of memory each",
        f"size:   {_size(size)} in {files:,} files, from {_source(works)}",
        f"time:   {_time(plan, found)}",
        *(
            f"space:  {bytes_text(free.bytes)} are free in the file system of {free.folder}: "
            f"{_fit(said, plan, found, some, free)}"
            for free, some, said in fits
        ),
    ]


def _size(size: Size) -> str:
    between = f"{bytes_text(size.low)} to {bytes_text(size.high)}"
    return f"about {bytes_text(size.about)} ({between})"


def _source(works: Sequence[Work]) -> str:
    return f"{bytes_text(sum(work.source_bytes for work in works))} of source files"


def _time(plan: Plan, found: Estimate) -> str:
    if not found.rates:
        return "unknown, because no chunk was measured"
    seconds = found.seconds(
        plan.works, bundles=plan.bundles, cores=plan.cores or 1, verify=plan.verify
    )
    if plan.cores is None:
        return (
            f"about {duration(seconds)} of one processor; how many there are depends on the cluster"
        )
    cores = f"{plan.cores} processors" if plan.cores > 1 else "1 processor"
    return f"about {duration(seconds)} on {cores}"


def _fit(said: Verdict, plan: Plan, found: Estimate, works: Sequence[Work], free: Free) -> str:
    more, files = replaced(works), sum(map(forecast.inodes, works))
    after = f" when {bytes_text(more)} of old files are replaced" if more else ""
    match said:
        case "fits":
            return f"the stores fit{after}"
        case "may not fit":
            return f"the stores may not fit{after}; a run would start, and warn"
    if free.files is not None and files > free.files:
        return explain(found.total(works), files, free)
    start = (
        "a run would be refused (resources.check_space)"
        if plan.check_space
        else "a run would write as much as fits, because resources.check_space is false"
    )
    return f"the stores do not fit{after}; {start}"
