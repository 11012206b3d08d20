# Shared by all rules: the samples, patterns of file names, and input functions.

import os
import shlex
import sys
from functools import cache

# NumPy's BLAS would start one thread per processor in every job, but no job uses BLAS.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

sys.path.insert(0, f"{workflow.basedir}/scripts")

from neurozarr import plan
from neurozarr.errors import ClaimError, NeurozarrError
from neurozarr.run import claims, ownership
from neurozarr.samples import arguments, bundles, rerun
from neurozarr.samples.bundles import Bundle
from neurozarr.samples.sample import Sample
from neurozarr.samples.sheet import read_run

from snakemake.logging import logger

try:
    RUN, SAMPLES = read_run(config)
except NeurozarrError as error:
    sys.exit(f"neurozarr: {error}")


# Patterns of a sample's output files.
PATHS = RUN.paths("{sample}")
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
REPORT = str(PATHS.report)
EXPORT = str(PATHS.export("{level}"))
BUNDLE = str(PATHS.state.parent / "bundle-{bundle}")


wildcard_constraints:
    sample="[^/]+",
    level="[0-9]+",
    block="[0-9]+",
    bundle="[0-9a-z-]+",


onstart:
    # The repair command first rewrites only the damaged files (--force), not the files that were
    # made from them, and then completes the run (metadata, verification). Snakemake tells which
    # command line arguments are targets only in its own settings.
    options = [
        arg for arg in sys.argv[1:] if arg not in workflow.dag_settings.targets
    ]
    repair = f"snakemake FILES --force {shlex.join(options)}"
    run = claims.Run(
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
    # Local jobs need no rate limit, but Snakemake has no option to turn it off. With the limit, the
    # scheduler wakes up once per second for every job that has run so far. After some hundreds of
    # jobs, this takes most of a processor.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    forget_bundles()


onerror:
    forget_bundles()


def forget_bundles():
    """Delete the files of this run's bundles: receipts tell which samples are converted."""
    if bundled.cache_info().currsize:  # Not if the targets needed no bundles.
        for bundle in set(bundled().values()):
            Path(expand(BUNDLE, bundle=bundle.name)[0]).unlink(missing_ok=True)


def claimed_samples():
    """Names of the samples for which this run has jobs, from Snakemake's internal DAG."""
    found = set()
    for job in workflow.dag.needrun_jobs():
        if "sample" in job.wildcards.keys():
            found.add(job.wildcards.sample)
        elif "bundle" in job.wildcards.keys():
            found.update(sample.name for sample in members(job.wildcards.bundle))
    return sorted(found)


def is_locked(directory):
    """Tell whether Snakemake has locked a directory, because a run is active there."""
    return any((directory / ".snakemake/locks").glob("*.lock"))


@cache
def planned(name):
    """Return a sample after checking its source and planning its levels; exit on errors."""
    if name not in SAMPLES:
        sys.exit(f"neurozarr: there is no sample {name!r}")
    try:
        SAMPLES[name].check()
        if workflow.is_main_process:
            SAMPLES[name].source.check()
            check_outputs(SAMPLES[name], RUN.paths(name))
    except NeurozarrError as error:
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
def written():
    """All stores and directories that this run may write."""
    return rerun.Written(RUN.written(SAMPLES))


def check_outputs(sample, paths):
    """Exit if files of others would be overwritten; tell Snakemake which files are stale."""
    written().check_apart(sample.read_paths)
    rerun.check_same_image(sample, paths, overwrite=RUN.overwrite)
    ownership.check(paths)
    again = rerun.stale(sample, paths, verify=RUN.verify)
    for file, reason in again.items():
        logger.info(f"sample {sample.name}: {file} is made again: {reason}")
    # Snakemake's own records depend on the working directory and on modification times. There is no
    # public way to force files during planning.
    workflow.dag.forcefiles.update(map(str, again))


# Parameters and resources from the plan. Each function takes the wildcards of a job.


def sample(wildcards):
    return planned(wildcards.sample)


def level(wildcards):
    """The planned level of a job: level 0 if the rule has no wildcard `level`."""
    number, levels = int(wildcards.get("level", 0)), sample(wildcards).levels
    if number >= len(levels):
        sys.exit(
            f"neurozarr: sample {wildcards.sample}: there is no level {number}; the coarsest is "
            f"{len(levels) - 1}"
        )
    block = int(wildcards.get("block", 0))
    if block >= levels[number].blocks:
        sys.exit(
            f"neurozarr: sample {wildcards.sample}: there is no block {block} of level {number}; "
            f"the last is {levels[number].blocks - 1}"
        )
    return levels[number]


def paths(wildcards):
    """Arguments of `StorePaths` for a sample."""
    return vars(RUN.paths(wildcards.sample))


def step_arguments(step):
    """Make a function that returns the arguments of a step (see neurozarr.samples.arguments)."""

    def from_wildcards(wildcards):
        numbers = {
            name: int(wildcards.get(name))
            for name in ("level", "block")
            if name in wildcards.keys()
        }
        level(wildcards)  # Exits if there is no such level or block.
        make = getattr(arguments, step)
        return make(sample(wildcards), RUN.paths(wildcards.sample), **numbers)

    return from_wildcards


def block_threads(wildcards):
    """Number of threads that write a block."""
    on_this_machine = workflow.local_exec and workflow.is_main_process
    return level(wildcards).threads(
        int(wildcards.block), workflow.cores if on_this_machine else None
    )


def block_memory(wildcards, threads, attempt):
    """Memory of a job that writes a block, in MB; increased with each attempt."""
    number = int(wildcards.get("level", 0))
    return attempt * sample(wildcards).memory_mb(number, threads)


def block_minutes(wildcards, threads, attempt):
    """Time limit of a job that writes a block, in minutes; increased with each attempt."""
    return attempt * level(wildcards).minutes(int(wildcards.block), threads)


def export_memory(wildcards, attempt):
    return attempt * sample(wildcards).export_memory_mb


def export_minutes(wildcards, attempt):
    return attempt * level(wildcards).export_minutes


def verify_memory(wildcards, threads, attempt):
    return attempt * sample(wildcards).verify_memory_mb(RUN.verify, threads)


def verify_minutes(wildcards, threads, attempt):
    return attempt * sample(wildcards).verify_minutes(RUN.verify, threads)


# Bundles: small samples, which are converted many to a job.


def is_bundled(name):
    """Whether a sample is converted together with others."""
    return RUN.bundle and bundles.is_small(planned(name))


@cache
def large_samples():
    """The samples that have jobs of their own, for each block of each level."""
    return [name for name in SAMPLES if not is_bundled(name)]


@cache
def bundled():
    """The bundle of each small sample that is not converted yet."""
    names = list(SAMPLES)
    # Converted samples are in no bundle, which --forceall and the target `verify` do not know.
    redo = "all" if workflow.dag_settings.forceall else "nothing"
    if redo == "nothing" and "verify" in workflow.dag_settings.targets:
        redo = "verify"
    work = {
        name: bundles.seconds(planned(name))
        for name in names
        if is_bundled(name) and (redo != "nothing" or not is_converted(name))
    }
    cores = workflow.cores if workflow.local_exec else None
    found = bundles.divide(names, work, cores=cores, redo=redo)
    # An earlier run that was killed may have left a file of that name.
    workflow.dag.forcefiles.update(
        expand(BUNDLE, bundle=[bundle.name for bundle in found])
    )
    return {
        name: bundle
        for bundle in found
        for name in names[bundle.start : bundle.stop]
        if name in work
    }


def is_converted(name):
    """Whether there is nothing to be done for a sample."""
    return rerun.Todo(planned(name), RUN.paths(name), verify=RUN.verify).is_done()


@cache
def members(name):
    """The samples of a bundle; those that are converted already need no work."""
    bundle = Bundle.from_name(name)
    if workflow.is_main_process:
        return [planned(name) for name in bundled() if bundled()[name] == bundle]
    try:
        names = bundle.names(list(SAMPLES))
    except ValueError as error:
        sys.exit(f"neurozarr: {error}: run again")
    return [planned(name) for name in names if is_bundled(name)]


def bundle_samples(wildcards):
    """Arguments of `Sample` for each sample of a bundle."""
    return [
        {field: getattr(sample, field) for field in Sample.__dataclass_fields__}
        for sample in members(wildcards.bundle)
    ]


def bundle_threads(wildcards):
    """Number of threads of a bundle's job."""
    count = len(set(bundled().values())) if workflow.is_main_process else 1
    cores = workflow.cores if workflow.local_exec and workflow.is_main_process else None
    return bundles.threads(members(wildcards.bundle), bundles=count, cores=cores)


def bundle_memory(wildcards, threads, attempt):
    return attempt * bundles.memory_mb(members(wildcards.bundle), RUN.verify, threads)


def bundle_minutes(wildcards, attempt):
    return attempt * bundles.minutes(members(wildcards.bundle))


# Input functions of the rules.


def files(paths):
    return [str(path) for path in paths]


def base_receipt(wildcards):
    """Receipt of the array of level 0, which is created before the other levels."""
    return [] if wildcards.level == "0" else str(BASE.array_receipt)


def parent_level(wildcards):
    return RUN.paths(wildcards.sample).level(int(wildcards.level) - 1)


def parent_array(wildcards):
    """The array of the parent level."""
    return str(parent_level(wildcards).document)


def parent_blocks(wildcards):
    """Receipts of the blocks of the parent level from which a block is made."""
    level(wildcards)
    blocks = sample(wildcards).parents(int(wildcards.level), int(wildcards.block))
    return files(map(parent_level(wildcards).block_receipt, blocks))


def each_level(wildcards):
    """Paths of all levels of a sample, finest first."""
    return RUN.paths(wildcards.sample).levels(len(sample(wildcards).levels))


def each_array(wildcards):
    return files(level.document for level in each_level(wildcards))


def each_array_receipt(wildcards):
    return files(level.array_receipt for level in each_level(wildcards))


def each_block_receipt(wildcards):
    """Receipts of all blocks of all levels."""
    levels = zip(each_level(wildcards), sample(wildcards).levels)
    return [
        receipt
        for place, level in levels
        for receipt in files(place.block_receipts(level.blocks))
    ]


def level_to_export(wildcards):
    """Files that an export needs; exit if the export would overwrite a file."""
    paths, number = RUN.paths(wildcards.sample), int(wildcards.level)
    blocks = level(wildcards).blocks
    try:
        ownership.check_file(paths.export_receipt(number), paths.export(number))
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {wildcards.sample}: {error}")
    if wildcards.sample in bundled():
        return expand(BUNDLE, bundle=bundled()[wildcards.sample].name)
    place = paths.level(number)
    return files([*paths.header, place.document, *place.block_receipts(blocks)])


# Input functions of the targets.


def all_bundles(wildcards):
    """The bundles of this run.

    If there are none, a file that no job writes, with which Snakemake finds nothing to be done.
    """
    found = dict.fromkeys(bundle.name for bundle in bundled().values())
    small = [name for name in SAMPLES if is_bundled(name)]
    if found or not small:
        return expand(BUNDLE, bundle=found)
    return [str(RUN.paths(small[0]).state / "owned.json")]


def all_images(wildcards):
    return expand(GROUP + HEADER, sample=large_samples())


def all_verify_receipts(wildcards):
    return (
        expand(VERIFY_RECEIPT, sample=large_samples()) if RUN.verify != "none" else []
    )


def all_arrays(wildcards):
    return [
        str(level.document)
        for name in large_samples()
        for level in RUN.paths(name).levels(len(planned(name).levels))
    ]


def all_verified(wildcards):
    """Receipts of the verification of all stores, for the target `verify`."""
    if RUN.verify == "none":
        sys.exit("neurozarr: verify is none: set it to quick or full")
    # Stores that were verified before are verified again, without --forcerun.
    workflow.dag.forcerules.add(workflow.get_rule("verify_store"))
    return [*all_bundles(wildcards), *all_verify_receipts(wildcards)]


def all_exports(wildcards):
    if not RUN.nii:
        sys.exit(
            "neurozarr: export needs stores with a NIfTI header: set nifti: {nii: true}"
        )
    return [
        str(RUN.paths(name).export(level))
        for name in SAMPLES
        for level in planned(name).export_levels
    ]
