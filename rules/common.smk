# What the rules share: samples, the names of files, and input functions.

import os
import shlex
import sys
from functools import cache
from os.path import normpath

# NumPy's BLAS would start a thread for each processor in every job, and none of them needs it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

sys.path.insert(0, f"{workflow.basedir}/scripts")

from neurozarr import plan
from neurozarr.errors import ClaimError, NeurozarrError
from neurozarr.run import claims, ownership
from neurozarr.samples import rerun
from neurozarr.samples.sheet import read_run
from neurozarr.zarr.documents import FILES, GROUP_FILES

from snakemake.logging import logger

try:
    RUN, SAMPLES = read_run(config, f"{workflow.basedir}/config/schemas")
except NeurozarrError as error:
    sys.exit(f"neurozarr: {error}")


onstart:
    # To repair, what is damaged is redone alone: what was made from it stays. Then the metadata are.
    options = [
        arg for arg in sys.argv[1:] if arg not in workflow.dag_settings.targets
    ]
    repair = f"snakemake FILES --force {shlex.join(options)}"
    run = claims.Run(
        directory=os.getcwd(),
        repair=f"{repair} && snakemake {shlex.join(sys.argv[1:])}",
    )
    try:
        states = map(Path, expand(STATE, sample=claimed_samples()))
        claims.start(states, run, is_running=is_locked)
    except OSError as error:
        sys.exit(f"neurozarr: output {RUN.output} cannot be written ({error})")
    except NeurozarrError as error:
        sys.exit(f"neurozarr: {error}")
    # Of jobs started on this machine, no number a second is too many. Snakemake's limit of 100 would
    # wake its scheduler once a second for every job that ever ran: most of a processor, after hundreds.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


STORE = normpath(f"{RUN.output}/{{sample}}{RUN.suffix}")
STATE = normpath(f"{RUN.output}/.state/{{sample}}{RUN.suffix}")


ARRAY = f"{STORE}/{{level}}/{FILES[RUN.zarr_version][0]}"
ARRAY_RECEIPT = f"{STATE}/{{level}}/array.json"
BLOCK_RECEIPT = f"{STATE}/{{level}}/block-{{block}}.json"
GROUP = [f"{STORE}/{name}" for name in GROUP_FILES[RUN.zarr_version]]
EXPORT = normpath(f"{RUN.output}/nifti/{{sample}}_level-{{level}}.nii.gz")
EXPORT_RECEIPT = f"{STATE}/export-{{level}}.json"
HEADER = [f"{STORE}/nifti/{name}" for name in FILES[RUN.zarr_version]]


OME_RECEIPT = f"{STATE}/ome.json"
HEADER_RECEIPT = f"{STATE}/header.json"
VERIFIED = f"{STATE}/verify.json"
REPORT = normpath(f"{RUN.output}/verify/{{sample}}.json")


wildcard_constraints:
    sample="[^/]+",
    level="[0-9]+",
    block="[0-9]+",


def claimed_samples():
    """The samples that this run has jobs for."""
    jobs = workflow.dag.needrun_jobs()
    return sorted(
        {job.wildcards.sample for job in jobs if "sample" in job.wildcards.keys()}
    )


def is_locked(directory):
    """Whether a run goes on in a directory, by Snakemake's lock."""
    return any((directory / ".snakemake/locks").glob("*.lock"))


@cache
def planned(name):
    """A sample, with its levels planned: what is wrong with its source is said here."""
    if name not in SAMPLES:
        sys.exit(f"neurozarr: there is no sample {name!r}")
    store, state = (Path(expand(pattern, sample=name)[0]) for pattern in (STORE, STATE))
    try:
        SAMPLES[name].check()
        if workflow.is_main_process:
            SAMPLES[name].source.check()
            check_outputs(SAMPLES[name], store, state)
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {name}: {error}")
    if not workflow.is_main_process:
        try:
            claims.check(state)
        except ClaimError as error:
            # Not as a failure: Snakemake would delete the job's outputs, which are the other run's.
            print(f"neurozarr: sample {name}: {error}", file=sys.stderr)
            sys.exit(0)
    return SAMPLES[name]


@cache
def written():
    """All that this run may write, for all samples."""
    return rerun.Written(RUN.written(SAMPLES))


def check_outputs(sample, store, state):
    """Refuse to touch what is not ours, and have done again what was made from something else."""
    written().check_apart(sample.read_paths)
    rerun.check_same_image(sample, state, store, overwrite=RUN.overwrite)
    ownership.check(store, state)
    again = rerun.stale(
        sample,
        state,
        store,
        driver=sample.zarr.driver,
        verify=RUN.verify,
        header=RUN.nii,
    )
    for file, reason in again.items():
        logger.info(f"sample {sample.name}: {file} is made again: {reason}")
    # What Snakemake remembers depends on the working directory, and on the times of files.
    workflow.dag.forcefiles.update(map(str, again))


def sample(wildcards):
    return planned(wildcards.sample)


def names(files):
    return [str(file) for file in files]


def state_directory(wildcards):
    """The directory of the receipts and claims of a sample's store."""
    return expand(STATE, sample=wildcards.sample)[0]


def recipe(wildcards):
    """What a level is made from, for its receipt."""
    store = Path(expand(STORE, sample=wildcards.sample)[0])
    return rerun.recipe_of(sample(wildcards), int(wildcards.level), store)


def source_of_level(wildcards):
    """The files that a level is read from: of level 0, those of the source."""
    return names(sample(wildcards).source.files) if wildcards.level == "0" else []


def level(wildcards):
    return sample(wildcards).levels[int(wildcards.level)]


def region(wildcards, level):
    """The voxels of a block, as start and end along each axis."""
    sides = sample(wildcards).levels[int(level)].region(int(wildcards.block))
    return [[side.start, side.stop] for side in sides]


def slab(wildcards):
    """Shape of what is read at once of the source; None where each thread reads for itself."""
    slab = sample(wildcards).levels[0].slab
    return slab and list(slab)


def block_threads(wildcards):
    """How many threads write a block; a rule without a level writes level 0."""
    level = sample(wildcards).levels[int(wildcards.get("level", 0))]
    on_this_machine = workflow.local_exec and workflow.is_main_process
    return level.threads(
        int(wildcards.block), workflow.cores if on_this_machine else None
    )


def block_minutes(wildcards, threads, attempt):
    """How long a block may take; longer when it is tried again."""
    level = sample(wildcards).levels[int(wildcards.get("level", 0))]
    return attempt * level.minutes(int(wildcards.block), threads)


def parent_array(wildcards):
    """The array of the level above."""
    return expand(ARRAY, sample=wildcards.sample, level=int(wildcards.level) - 1)


def parent_blocks(wildcards):
    """The receipts of those blocks of the level above that a block is made from."""
    above = int(wildcards.level) - 1
    blocks = sample(wildcards).parents(above + 1, int(wildcards.block))
    return expand(BLOCK_RECEIPT, sample=wildcards.sample, level=above, block=blocks)


def each_level(pattern):
    """The files of all levels that a pattern names, finest first."""
    return lambda wildcards: expand(
        pattern,
        sample=wildcards.sample,
        level=range(len(sample(wildcards).levels)),
    )


def each_block(wildcards):
    """The receipts of all blocks, level by level."""
    return [
        receipt
        for number, level in enumerate(sample(wildcards).levels)
        for receipt in expand(
            BLOCK_RECEIPT,
            sample=wildcards.sample,
            level=number,
            block=range(level.blocks),
        )
    ]


def blocks_of_level(wildcards):
    """The receipts of all blocks of a level."""
    blocks = range(level(wildcards).blocks)
    return expand(
        BLOCK_RECEIPT, sample=wildcards.sample, level=wildcards.level, block=blocks
    )


def blocks_to_export(wildcards):
    """The same, where what they are exported to is no other file."""
    receipt, export = (
        expand(pattern, **wildcards)[0] for pattern in (EXPORT_RECEIPT, EXPORT)
    )
    try:
        ownership.check_file(Path(receipt), Path(export))
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {wildcards.sample}: {error}")
    return blocks_of_level(wildcards)


def all_verified(wildcards):
    """The receipts of stores that are verified, for the target that asks for it."""
    if RUN.verify == "none":
        sys.exit("neurozarr: verify is none: set it to quick or full")
    # What was verified before is verified again.
    workflow.dag.forcerules.add(workflow.get_rule("verify_store"))
    return expand(VERIFIED, sample=SAMPLES)


def all_exports(wildcards):
    if not RUN.nii:
        sys.exit(
            "neurozarr: export needs a NIfTI header in the stores: set nifti: {nii: true}"
        )
    return [
        file
        for name in SAMPLES
        for file in expand(EXPORT, sample=name, level=planned(name).export_levels)
    ]


def all_images(wildcards):
    return expand(GROUP + (HEADER if RUN.nii else []), sample=SAMPLES)


def all_arrays(wildcards):
    return [
        file
        for name in SAMPLES
        for file in expand(ARRAY, sample=name, level=range(len(planned(name).levels)))
    ]
