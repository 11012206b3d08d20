# What a run would write, for the target `plan`, and whether there is space for it.

from neurozarr.preview import space
from neurozarr.preview.estimate import to_measure
from neurozarr.preview.options import changed_options
from neurozarr.preview.work import left_of


def work_left(name):
    """What is left to be done for a sample that can be read."""
    sample = planned(name)
    return left_of(
        sample,
        RUN.paths(name),
        todo(name) if sample.is_planned else None,
        is_bundled=is_bundled(name),
        verify=RUN.verify,
        cores=local_cores(),
    )


def planned_before(wildcards):
    """No files: nothing is made for the target `plan`. Exit if no source can be read."""
    all_planned()
    return []


def plan_of_run(wildcards):
    """Arguments of `neurozarr.steps.plan.describe_run`."""
    works = [work_left(sample.name) for sample in all_planned()]
    found = memory_of_bundles()
    return {
        "output": RUN.output,
        "works": [work.plain() for work in works],
        "samples": [
            {
                field: getattr(SAMPLES[name], field)
                for field in Sample.__dataclass_fields__
            }
            for chosen in to_measure(works).values()
            for name in chosen
        ],
        "unreadable": len(known_samples()) - len(works),
        "waiting": sum(map(is_awaited, SAMPLES)),
        "bundles": len(found),
        "descriptions": sum(
            not os.path.exists(file) or file in workflow.dag.forcefiles
            for file in all_descriptions(wildcards)
        ),
        "bundle_memory_mb": max(found, default=0),
        "verify": RUN.verify,
        "cores": local_cores(),
        "options": changed_options(config, SAMPLES.values()),
        "check_space": RUN.check_space,
    }


def memory_of_bundles():
    """Memory of the job of each bundle, in MB."""
    found, cores = by_bundle(), local_cores()
    samples = {
        bundle: [SAMPLES[name] for name in names if not unreadable(name)]
        for bundle, names in found.items()
    }
    return [
        bundles.memory_mb(
            some,
            RUN.verify,
            bundles.threads(some, bundles=len(found), cores=cores),
            pages=bundle.pages,
        )
        for bundle, some in samples.items()
    ]


def check_space(names):
    """Exit if what is left to be done for some samples surely does not fit on the disk."""
    if not RUN.check_space:
        return
    # How large those are that rules of others make is known when they are there.
    there = [name for name in names if name in THERE and not unreadable(name)]
    works = [work_left(name) for name in there]
    threads = min(plan.MAX_THREADS, local_cores() or os.cpu_count())
    for free, some in space.disks(works):
        said, why = space.problem(some, SAMPLES.__getitem__, free, threads=threads)
        if said == "does not fit":
            sys.exit(f"neurozarr: {why}")
        if why:
            logger.warning(f"neurozarr: {why}")
