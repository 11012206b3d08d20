# What a run prints last, below all that Snakemake prints.

import atexit

from neurozarr.run import summary

# The samples for which this run has jobs; known when it starts.
TASKS = []


def find_tasks():
    """Find the samples for which this run has jobs, and the logs that these write."""
    logs, shared = defaultdict(set), {}
    for job in workflow.dag.needrun_jobs():
        if "sample" in job.wildcards.keys():
            logs[name_of(job.wildcards)].update(map(Path, job.log))
        elif "bundle" in job.wildcards.keys():
            for member in members(job.wildcards.bundle):
                logs[member.name].add(Path("logs", member.name, "convert.log"))
                shared[member.name] = Path(job.log[0])
    TASKS.extend(
        summary.Task(
            name=name,
            paths=RUN.paths(name),
            bytes=size_of_source(name),
            logs=tuple(logs[name]),
            shared=shared.get(name),
        )
        for name in SAMPLES
        if name in logs
    )


def size_of_source(name):
    """Size of the files of a source, in bytes; 0 if it cannot be read."""
    try:
        return sum(os.stat(file).st_size for file in SAMPLES[name].files)
    except (NeurozarrError, OSError):
        return 0


def command(*targets):
    """The command of this run, or the same with other targets."""
    given = sys.argv[1:]
    if targets:
        named = workflow.dag_settings.targets
        given = [*targets, *(arg for arg in given if arg not in named)]
    return f"snakemake {shlex.join(given)}"


def print_last(text):
    """Print a text when Snakemake has printed all that it has to say."""
    atexit.register(print, text, file=sys.stderr)


onsuccess:
    forget_bundles()
    if TASKS:
        exports = RUN.nii and "export" not in workflow.dag_settings.targets
        print_last(
            summary.success_text(
                TASKS,
                output=RUN.output,
                seconds=time.monotonic() - STARTED,
                export=command("export") if exports else "",
                notices=NOTICES.all(),
            )
        )


onerror:
    forget_bundles()
    if TASKS:
        # Read again, because files may have changed since the run was planned.
        done = [is_done_now(task.name) for task in TASKS]
        print_last(
            summary.failure_text(
                TASKS, done, again=command(), notices=NOTICES.all()
            )
        )


def is_done_now(name):
    """Whether nothing is left to be done for a sample after a run."""
    sample = replace(SAMPLES[name])
    try:
        paths = RUN.paths(name)
        return (
            sample.is_planned and rerun.Todo(sample, paths, verify=RUN.verify).is_done()
        )
    except NeurozarrError:
        return False
