# What is done when the run starts: its samples are claimed.

from neurozarr.run.processes import start_of_process, this_machine

# Whether the run has started, when it has.
HAS_STARTED = set()


@cache
def prepare_hooks():
    """Have Snakemake claim the samples of this run when it starts."""
    check_names(NAMES)
    call_at("onstart", start_run)
    call_at("onsuccess", end_well)
    call_at("onerror", end_badly)


def start_run():
    """Claim the samples of this run, and prepare what Snakemake does not."""
    if workflow.touch:
        logger.info(
            "neurozarr: --touch converts nothing, and changes nothing about what a run will do: "
            "that depends on receipts, not on the times of files"
        )
        return
    # The repair command first rewrites only the damaged files (--force), not the files that were
    # made from them, and then completes the run (metadata, verification). Snakemake tells which
    # command line arguments are targets only in its own settings.
    options = [arg for arg in sys.argv[1:] if arg not in workflow.dag_settings.targets]
    repair = f"snakemake FILES --force {shlex.join(options)}"
    run = claims.Run(
        name=claims.name_of_process(),
        directory=os.getcwd(),
        machine=this_machine(),
        process=(os.getpid(), start_of_process(os.getpid())),
        repair=f"{repair} && snakemake {shlex.join(sys.argv[1:])}",
    )
    check_space(claimed_samples())
    try:
        check_case(Path(RUN.output), SAMPLES)
        states = [RUN.paths(name).state for name in claimed_samples()]
        claims.start(states, run, is_running=is_locked)
    except OSError as error:
        sys.exit(f"neurozarr: output {RUN.output} cannot be written ({error})")
    except NeurozarrError as error:
        sys.exit(f"neurozarr: {error}")
    HAS_STARTED.add(True)
    if IS_MAIN:
        find_tasks()
    start_record()
    for job in our_jobs():
        if step_of(job.rule) in ("ome_metadata", "nifti_header"):
            unpublish_label(name_of(job.wildcards))
    # Local jobs need no rate limit, but Snakemake has no option to turn it off. With the limit, the
    # scheduler wakes up once per second for every job that has run so far. After some hundreds of
    # jobs, this takes most of a processor.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def unpublish_label(name):
    """Take a label that is written again out of the list of labels.

    Snakemake deletes its metadata before the job that writes them, but cannot do this first.
    """
    paths = RUN.paths(name)
    if paths.label:
        publishing.unpublish(paths)


def claimed_samples():
    """Names of the samples for which this run has jobs."""
    return sorted({name for job in our_jobs() for name in names_of_job(job)})


def names_of_job(job):
    """Names of the samples that a job works on."""
    if "sample" in job.wildcards.keys():
        name = name_of(job.wildcards)
        return [name] if name in SAMPLES else []  # Not of another such module.
    if "bundle" in job.wildcards.keys():
        return [sample.name for sample in members(job.wildcards.bundle)]
    return []


def is_locked(directory):
    """Tell whether Snakemake has locked a directory, because a run is active there."""
    return any((directory / ".snakemake/locks").glob("*.lock"))
