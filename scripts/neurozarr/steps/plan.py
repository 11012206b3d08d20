"""Print what a run would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurozarr.preview import forecast
from neurozarr.preview.estimate import estimate
from neurozarr.preview.space import disks, replaced, verdict
from neurozarr.preview.text import Plan, plan_text
from neurozarr.preview.work import Work
from neurozarr.samples.sample import Sample

#: Time in which chunks are encoded, in seconds.
SECONDS = 15.0


def describe_run(
    *,
    works: Sequence[dict[str, Any]],
    samples: Sequence[dict[str, Any]],
    threads: int,
    **run: Any,
) -> tuple[str, bool]:
    """Describe a run before it starts; nothing is written but temporary files.

    Parameters
    ----------
    works
        What is left to be done for each sample, as `neurozarr.preview.work.Work.plain` returns it.
    samples
        Arguments of `Sample` for those of which chunks are encoded.
    threads
        Number of threads that read and encode chunks.
    **run
        The other attributes of `neurozarr.preview.text.Plan`.

    Returns
    -------
    str, bool
        What is known of the run, and whether all sources can be read and all stores fit.
    """
    plan = Plan(works=list(map(Work.from_plain, works)), **run)
    known = {fields["name"]: Sample(**fields) for fields in samples}
    found = estimate(plan.works, known.__getitem__, threads=threads, seconds=SECONDS)
    fits = [
        (
            free,
            works,
            verdict(found.total(works), sum(map(forecast.inodes, works)), replaced(works), free),
        )
        for free, works in disks(plan.works)
    ]
    is_good = not plan.unreadable and all(said == "fits" for *_, said in fits)
    return plan_text(plan, found, fits), is_good
