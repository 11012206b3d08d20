# Shared by all rules: the samples, patterns of file names, and input functions.

import logging
import os
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

STARTED = time.monotonic()

sys.path.insert(0, library())

try:
    from neurozarr import plan
    from neurozarr.errors import ClaimError, NeurozarrError, SourceError
    from neurozarr.run import claims, memory, ownership, publishing, sidecars
    from neurozarr.run.notices import Notices
    from neurozarr.run.paths import coarse_levels
    from neurozarr.samples import arguments, estimates, rerun
    from neurozarr.samples.names import explanations
    from neurozarr.samples.sheet import read_run
except ModuleNotFoundError as error:
    sys.exit(
        f"neurozarr: Snakemake runs in an environment without {error.name}: add "
        "--software-deployment-method conda, or install the packages of neurozarr there (README.md)"
    )

from snakemake.logging import logger

# The directory also has scripts, whose names others may have. Snakemake itself gives it to scripts
# that are local files, and to others what is on the path.
LIBRARY = sys.path.pop(0)
if not workflow.current_basedir.is_local:
    sys.path.append(LIBRARY)


def set_environment():
    """Set environment variables of jobs, unless the user has."""
    for name, value in memory.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # NumPy's BLAS would start one thread per processor in every job, but no job uses BLAS.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# The jobs of others may be better off without.
if IS_MAIN:
    set_environment()

# The library's warnings while the run is planned; jobs have them in their logs.
NOTICES = Notices(logger.warning)
if IS_MAIN and workflow.is_main_process:
    logging.getLogger("neurozarr").addHandler(NOTICES)
    logging.getLogger("neurozarr").propagate = False

try:
    RUN, SAMPLES = read_run(
        config,
        find_sources=workflow.is_main_process,
        files=workflow.configfiles,
    )
except NeurozarrError as error:
    sys.exit(f"neurozarr: {error}")
RUN = replace(RUN, output=with_prefix(RUN.output))
if config.get("source") and workflow.is_main_process:
    for line in explanations(SAMPLES.values()):
        logger.info(line)


# Samples that are planned at once on a slow file system, and how many tell whether it is slow. On a
# fast one, threads would only wait for each other.
PLANNED_AT_ONCE, TRIED = 8, 20

# Patterns of a sample's output files. A label lies beneath its image: {label} is then its path from
# the image's store, such as /labels/cells, and otherwise empty.
PATHS = replace(RUN.paths("{sample}"), label="{label}")
LEVEL = PATHS.level("{level}")
ARRAY = str(LEVEL.document)
ARRAY_RECEIPT = str(LEVEL.array_receipt)
BLOCK_RECEIPT = str(LEVEL.block_receipt("{block}"))
BASE = PATHS.level(0)
GROUP = [str(file) for file in PATHS.group]
HEADER = [str(file) for file in PATHS.header]
OME_RECEIPT = str(PATHS.ome_receipt)
HEADER_RECEIPT = str(PATHS.header_receipt)
VERIFY_RECEIPT = str(PATHS.verify_receipt)
REPORT = without_prefix(PATHS.report)
EXPORT = str(PATHS.export("{level}"))
BUNDLE = str(PATHS.state.parent / "bundle-{bundle}")


# Not for all rules, because others may have other wildcards of the same names.
WILDCARDS = {
    "sample": "[^/]+",
    "label": "(?:/labels/[^/]+)?",
    "level": "[0-9]+",
    "block": "[0-9]+",
    "bundle": "[0-9a-z-]+",
}


@cache
def prepare_hooks():
    """Have Snakemake claim the samples of this run when it starts."""
    check_names(NAMES)
    call_at("onstart", start_run)
    call_at("onsuccess", end_well)
    call_at("onerror", end_badly)


def start_run():
    """Claim the samples of this run, and prepare what Snakemake does not."""
    # The repair command first rewrites only the damaged files (--force), not the files that were
    # made from them, and then completes the run (metadata, verification). Snakemake tells which
    # command line arguments are targets only in its own settings.
    options = [arg for arg in sys.argv[1:] if arg not in workflow.dag_settings.targets]
    repair = f"snakemake FILES --force {shlex.join(options)}"
    run = claims.Run(
        name=claims.name_of_process(),
        directory=os.getcwd(),
        repair=f"{repair} && snakemake {shlex.join(sys.argv[1:])}",
    )
    try:
        states = [RUN.paths(name).state for name in claimed_samples()]
        claims.start(states, run, is_running=is_locked)
    except OSError as error:
        sys.exit(f"neurozarr: output {RUN.output} cannot be written ({error})")
    except NeurozarrError as error:
        sys.exit(f"neurozarr: {error}")
    if IS_MAIN:
        find_tasks()
    # Snakemake deletes the metadata of a label before the job that writes them, but cannot take it
    # out of the list of labels first.
    for job in our_jobs():
        if (
            step_of(job.rule) in ("ome_metadata", "nifti_header")
            and job.wildcards.label
        ):
            publishing.unpublish(paths_of(job.wildcards))
    # Local jobs need no rate limit, but Snakemake has no option to turn it off. With the limit, the
    # scheduler wakes up once per second for every job that has run so far. After some hundreds of
    # jobs, this takes most of a processor.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def claimed_samples():
    """Names of the samples for which this run has jobs."""
    found = set()
    for job in our_jobs():
        if "sample" in job.wildcards.keys():
            if (
                name := name_of(job.wildcards)
            ) in SAMPLES:  # Not of another such module.
                found.add(name)
        elif "bundle" in job.wildcards.keys():
            found.update(sample.name for sample in members(job.wildcards.bundle))
    return sorted(found)


def is_locked(directory):
    """Tell whether Snakemake has locked a directory, because a run is active there."""
    return any((directory / ".snakemake/locks").glob("*.lock"))


@cache
def planned(name):
    """Return a sample after checking its source and planning its levels; exit on errors."""
    if error := unreadable(name):
        sys.exit(f"neurozarr: sample {name}: {error}")
    if not workflow.is_main_process:
        try:
            claims.check(RUN.paths(name).state)
        except ClaimError as error:
            # Exit without failure: otherwise Snakemake would delete the outputs of this job, which
            # now belong to the other run.
            print(f"neurozarr: sample {name}: {error}", file=sys.stderr)
            sys.exit(0)
    return SAMPLES[name]


@cache
def unreadable(name):
    """Why the source of a sample cannot be converted, or None.

    Exit on errors of other kinds, except in a job, which fails with them later.
    """
    if workflow.is_main_process:
        prepare_hooks()
    else:
        set_environment()
    if name not in SAMPLES:
        sys.exit(f"neurozarr: there is no sample {name!r}")
    try:
        SAMPLES[name].check()
        if workflow.is_main_process:
            check_outputs(SAMPLES[name], RUN.paths(name))
    except NeurozarrError as error:
        if workflow.is_main_process and not isinstance(error, SourceError):
            sys.exit(f"neurozarr: sample {name}: {error}")
        return error
    return None


@cache
def written():
    """All stores and directories that this run may write."""
    return rerun.Written(RUN.written(SAMPLES))


def check_outputs(sample, paths):
    """Exit if files of others would be overwritten; tell Snakemake which files are stale."""
    written().check_apart(sample.read_paths)
    ownership.check(paths)
    sidecars.check(paths, sample.source.sidecars if sample.is_planned else [".json"])
    if not sample.is_planned:
        rerun.check_same_image(sample, paths, overwrite=RUN.overwrite)
        if asks_for_steps():
            sys.exit(
                f"neurozarr: sample {sample.name}: dcm2niix has not converted {sample.path} yet: "
                "run first without naming steps or their files"
            )
        return
    sample.source.check()
    # Small images, of which there may be thousands, have it in their logs.
    tells = len(sample.levels) > 1 and (max(sample.blocks) > 1 or sample.mode != "mean")
    if tells and not todo(sample.name).is_done(paths.level(1).array_receipt):
        logger.info(f"sample {sample.name}: {sample.mode_described}")
    again = todo(sample.name).stale
    if paths.level(0).array_receipt in again:  # Otherwise the source is the same.
        rerun.check_same_image(sample, paths, overwrite=RUN.overwrite)
    for file, reason in again.items():
        logger.info(f"sample {sample.name}: {file} is made again: {reason}")
    # Snakemake's own records depend on the working directory and on modification times. There is no
    # public way to force files during planning.
    workflow.dag.forcefiles.update(map(str, rerun.job_outputs(sample, paths, again)))


@cache
def todo(name):
    """What is to be done for a sample."""
    return rerun.Todo(SAMPLES[name], RUN.paths(name), verify=RUN.verify)


@cache
def all_planned():
    """Plan all samples; many at once if most of the time is spent waiting for files.

    Return those whose sources can be read; exit if there is none.
    """
    if not SAMPLES:
        sys.exit(
            "neurozarr: config: nothing to convert; give source (a file, a list of files, or a "
            "glob) or samples (a tab-separated sheet), such as neurozarr run scan.nii.gz, or "
            "snakemake --config source=scan.nii.gz"
        )
    written()  # Made once, before the threads ask for it.
    names = list(SAMPLES)
    wall, processor = time.monotonic(), time.process_time()
    for name in names[:TRIED]:
        unreadable(name)
    waited = time.monotonic() - wall > 2 * (time.process_time() - processor)
    with ThreadPoolExecutor(PLANNED_AT_ONCE if waited else 1) as pool:
        errors = dict(zip(names, pool.map(unreadable, names)))
    for notice in NOTICES.repeated() if workflow.output_settings.dryrun else []:
        logger.warning(notice)  # Other runs say so at their end.
    wrong = [
        f"neurozarr: sample {name}: {error}" for name, error in errors.items() if error
    ]
    if len(wrong) == len(names):
        sys.exit("\n".join(wrong))
    if wrong:
        logger.error(
            "\n".join([*wrong, f"neurozarr: the other {len(names) - len(wrong)} go on"])
        )
    return [planned(name) for name in names if not errors[name]]


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
        if sample(wildcards).is_planned:
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
    """Number of threads that write a block."""
    return levels(wildcards)[0].threads(int(wildcards.block), local_cores())


def block_memory(wildcards, threads, attempt):
    """Memory of a job that writes a block, in MB; increased with each attempt."""
    return attempt * max(
        estimates.block_memory_mb(sample(wildcards), number, threads)
        for number in numbers(wildcards)
    )


def block_minutes(wildcards, threads, attempt):
    """Time limit of a job that writes a block, in minutes; increased with each attempt."""
    return attempt * sum(
        level.minutes(int(wildcards.block), threads) for level in levels(wildcards)
    )


def export_memory(wildcards, attempt):
    return attempt * estimates.export_memory_mb(sample(wildcards))


def export_minutes(wildcards, attempt):
    return attempt * estimates.export_minutes(sample(wildcards), int(wildcards.level))


def verify_memory(wildcards, threads, attempt):
    return attempt * estimates.verify_memory_mb(sample(wildcards), RUN.verify, threads)


def verify_minutes(wildcards, threads, attempt):
    return attempt * estimates.verify_minutes(sample(wildcards), RUN.verify, threads)


# Input functions of the rules.


def files(paths):
    return [str(path) for path in paths]


def base_receipt(wildcards):
    """Receipt of the array of level 0, which is created before the other levels.

    Exit if a bundle converts the sample at the same time, because of a rule of others that has such
    a file as input.
    """
    name = name_of(wildcards)
    if workflow.is_main_process and is_bundled(name) and name in bundled():
        sys.exit(
            f"neurozarr: sample {name} is converted together with others: rules that read it need "
            f"{RUN.paths(name).verify_receipt} as input, not files of the store"
        )
    return [] if wildcards.level == "0" else str(BASE.array_receipt)


def own_array(wildcards):
    """The array of a level and its receipt; none for coarse levels, whose job creates them."""
    place = each_level(wildcards)[int(wildcards.level)]
    return [] if place.made_with else files([place.document, place.array_receipt])


def parent_level(wildcards):
    return paths_of(wildcards).level(numbers(wildcards)[0] - 1)


def parent_array(wildcards):
    """The array of the parent level."""
    return str(parent_level(wildcards).document)


def parent_blocks(wildcards):
    """Receipts of the blocks of the parent level from which a block is made."""
    blocks = sample(wildcards).parents(numbers(wildcards)[0], int(wildcards.block))
    return files(map(parent_level(wildcards).block_receipt, blocks))


def each_level(wildcards):
    """Paths of all levels of a sample, finest first."""
    return paths_of(wildcards).levels(sample(wildcards).blocks)


def each_array(wildcards):
    """The arrays with jobs of their own."""
    return files(
        place.document for place in each_level(wildcards) if not place.made_with
    )


def each_array_receipt(wildcards):
    return files(
        place.array_receipt for place in each_level(wildcards) if not place.made_with
    )


def each_block_receipt(wildcards):
    """Receipts of all blocks of all levels; one for all coarse levels."""
    places = zip(each_level(wildcards), sample(wildcards).blocks)
    return list(
        dict.fromkeys(
            str(place.job_output(receipt))
            for place, count in places
            for receipt in place.block_receipts(count)
        )
    )


def store_to_verify(wildcards):
    """Files that a verification needs: all of the store, or the bundle that makes them.

    Of a sample that is bundled, but converted, no other step is planned.
    """
    name, paths = name_of(wildcards), paths_of(wildcards)
    if is_bundled(name):
        # Its own process, on a cluster, does not know which bundles there are.
        waits = workflow.is_main_process and name in bundled()
        return expand(BUNDLE, bundle=[bundled()[name].name] if waits else [])
    receipts = [paths.ome_receipt, *([paths.header_receipt] if RUN.nii else [])]
    return [
        *each_array(wildcards),
        *each_array_receipt(wildcards),
        *each_block_receipt(wildcards),
        *files([*paths.group, *paths.header, *receipts]),
    ]


def level_to_export(wildcards):
    """Files that an export needs; exit if the export would overwrite a file."""
    name, paths, number = name_of(wildcards), paths_of(wildcards), int(wildcards.level)
    try:
        ownership.check_file(paths.export_receipt(number), paths.export(number))
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {name}: {error}")
    if name in bundled():
        return expand(BUNDLE, bundle=bundled()[name].name)
    numbers(wildcards)  # Exits if there is no such level.
    place = each_level(wildcards)[number]
    if place.made_with:
        return files([*paths.header, place.made_with])
    receipts = place.block_receipts(sample(wildcards).blocks[number])
    return files([*paths.header, place.document, *receipts])


# Input functions of the targets.


def all_stores(wildcards):
    """All that a complete run makes."""
    return [
        *all_bundles(wildcards),
        *all_images(wildcards),
        *all_arrays(wildcards),
        *all_verify_receipts(wildcards),
    ]


def all_images(wildcards):
    return [
        file
        for name in large_samples()
        for file in files([*RUN.paths(name).group, *RUN.paths(name).header])
    ]


def all_verify_receipts(wildcards):
    if RUN.verify == "none":
        return []
    return files(RUN.paths(name).verify_receipt for name in large_samples())


def all_arrays(wildcards):
    return [
        str(place.document)
        for name in large_samples()
        for place in RUN.paths(name).levels(planned(name).blocks)
        if not place.made_with
    ]


def all_verified(wildcards):
    """Receipts of the verification of all stores, for the target `verify`."""
    if RUN.verify == "none":
        sys.exit("neurozarr: verify is none: set it to quick or full")
    # Stores that were verified before are verified again, without --forcerun.
    workflow.dag.forcerules.update(rules_of("verify_store"))
    # Others that are run may ask for the verification of a small sample, which must come first.
    alone = IS_MAIN or len(workflow.dag_settings.targets) == 1
    names = large_samples() if alone else SAMPLES
    receipts = files(RUN.paths(name).verify_receipt for name in names)
    return [*all_bundles(wildcards), *receipts]


def all_exports(wildcards):
    if not RUN.nii:
        sys.exit(
            "neurozarr: export needs stores with a NIfTI header: set nifti: {nii: true}"
        )
    readable = all_planned()
    exports = [
        str(RUN.paths(sample.name).export(level))
        for sample in readable
        for level in sample.export_levels
    ]
    # The job that says why the others cannot be read.
    wrong = [bundled()[name].name for name in SAMPLES if unreadable(name)]
    return [*exports, *expand(BUNDLE, bundle=dict.fromkeys(wrong))]
