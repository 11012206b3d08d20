# Parameters and resources from the plan. Each function takes the wildcards of a job.


def name_of(wildcards):
    return wildcards.sample + wildcards.label


def sample(wildcards):
    return planned(name_of(wildcards))


def paths_of(wildcards):
    return RUN.paths(name_of(wildcards))


def numbers(wildcards):
    """Numbers of the levels that a job writes: 0 if the rule has no wildcard `level`."""
    number, blocks = int(wildcards.get("level", 0)), sample(wildcards).blocks
    if number >= len(blocks):
        sys.exit(
            f"neurozarr: sample {name_of(wildcards)}: there is no level {number}; the coarsest is "
            f"{len(blocks) - 1}"
        )
    block = int(wildcards.get("block", 0))
    if block >= blocks[number]:
        sys.exit(
            f"neurozarr: sample {name_of(wildcards)}: there is no block {block} of level {number}; "
            f"the last is {blocks[number] - 1}"
        )
    coarse = coarse_levels(blocks)
    return coarse if number in coarse else [number]


def levels(wildcards):
    """The planned levels that a job writes."""
    return [sample(wildcards).levels[number] for number in numbers(wildcards)]


def paths(wildcards):
    """Arguments of `StorePaths` for a sample."""
    return vars(paths_of(wildcards))


def step_arguments(step):
    """Make a function that returns the arguments of a step (see neurozarr.samples.arguments)."""

    def from_wildcards(wildcards):
        given = {
            name: int(wildcards.get(name))
            for name in ("level", "block")
            if name in wildcards.keys()
        }
        if given and sample(wildcards).is_planned:
            numbers(wildcards)  # Exits if there is no such level or block.
        make = getattr(arguments, step)
        return make(sample(wildcards), paths_of(wildcards), **given)

    return from_wildcards


def local_cores():
    """Number of processors that all jobs share.

    None if they are on other machines, or without --cores, as for --summary and --containerize.
    """
    if not (workflow.local_exec and workflow.is_main_process):
        return None
    return workflow.global_resources["_cores"].value


def block_threads(wildcards):
    """Number of threads that write a block; 1 until its source is there."""
    if not is_there(name_of(wildcards)):
        return 1
    return levels(wildcards)[0].threads(int(wildcards.block), local_cores())


@known_later
def block_memory(wildcards, threads, attempt):
    """Memory of a job that writes a block, in MB; increased with each attempt."""
    return attempt * max(
        estimates.block_memory_mb(sample(wildcards), number, threads)
        for number in numbers(wildcards)
    )


@known_later
def block_minutes(wildcards, threads, attempt):
    """Time limit of a job that writes a block, in minutes; increased with each attempt."""
    return attempt * sum(
        level.minutes(int(wildcards.block), threads) for level in levels(wildcards)
    )


@known_later
def export_memory(wildcards, attempt):
    return attempt * estimates.export_memory_mb(sample(wildcards))


@known_later
def export_minutes(wildcards, attempt):
    return attempt * estimates.export_minutes(sample(wildcards), int(wildcards.level))


def report_memory(wildcards, attempt):
    return attempt * estimates.report_memory_mb(sample(wildcards))


def report_arguments(wildcards):
    """Arguments of the step `report_sample`, without the directory of its benchmarks."""
    return arguments.report_sample(sample(wildcards), RUN, directory=os.getcwd())


@known_later
def verify_memory(wildcards, threads, attempt):
    return attempt * estimates.verify_memory_mb(sample(wildcards), RUN.verify, threads)


@known_later
def verify_minutes(wildcards, threads, attempt):
    return attempt * estimates.verify_minutes(sample(wildcards), RUN.verify, threads)
