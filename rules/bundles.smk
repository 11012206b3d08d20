# Bundles: small samples, and all DICOM samples, which are converted many to a job.

from collections import defaultdict

from neurozarr.samples import bundles
from neurozarr.samples.bundles import Bundle
from neurozarr.samples.sample import Sample

# The rules of the steps of a conversion, of which a bundle's job does the work.
STEPS = {"create_array", "write_base", "pyramid_level"}
STEPS |= {"ome_metadata", "extend_metadata", "nifti_header", "verify_store"}
STEPS |= {"write_sidecars"}


@cache
def asks_for_steps():
    """Whether the command line names a step, or a file that one writes: then none is bundled."""
    settings = workflow.dag_settings
    named = {
        *settings.targets,
        *settings.forcerun,
        *settings.until,
        *settings.omit_from,
    }
    files = [os.path.relpath(name, RUN.output) for name in named]
    return bool(STEPS & steps_of(named)) or any(
        ".zarr/" in file and not file.startswith("../") for file in files
    )


def is_bundled(name):
    """Whether a sample is converted together with others.

    One whose source cannot be read is too: its job says so, and the run fails at its end.
    """
    if unreadable(name):
        return True
    return is_bundled_if_readable(name)


@cache
def is_bundled_if_readable(name):
    return not asks_for_steps() and bundles.is_bundled(planned(name), small=RUN.bundle)


def large_samples():
    """The samples that have jobs of their own, for each block of each level."""
    all_planned()
    return [name for name in known_samples() if not is_bundled(name)]


# The bundle of each small sample that was not converted when its source was there, the names of the
# samples of each bundle, and the names of all samples of which it is known.
BUNDLED, BY_BUNDLE, DIVIDED = {}, defaultdict(list), set()


def bundled():
    """The bundle of each small sample that is not converted yet.

    Samples whose sources are there only now get bundles of their own.
    """
    all_planned()
    if not (new := set(known_samples()) - DIVIDED):
        return BUNDLED
    DIVIDED.update(new)
    settings = workflow.dag_settings
    if settings.batch:
        sys.exit(
            "neurozarr: --batch does not work with bundles, which are few: leave it out, or set "
            "resources: {bundle: false}"
        )
    # Converted samples are in no bundle, which the options and the target `verify` do not know.
    forced = settings.forceall or "convert_bundle" in steps_of(settings.forcerun)
    redo = "all" if forced else "nothing"
    if redo == "nothing" and "verify" in steps_of(settings.targets):
        redo = "verify"
    pages = wants_reports()
    work = {
        name: (
            bundles.SAMPLE_SECONDS
            if unreadable(name)
            else bundles.seconds(planned(name))
        )
        + (bundles.PAGE_SECONDS if pages else 0)
        for name in SAMPLES
        if name in new
        and is_bundled(name)
        and (
            redo != "nothing"
            or not is_converted(name)
            or (pages and not is_reported(name))
        )
    }
    for names in samples_by_source():
        for names_at_once in bundles.consecutive(names, new):
            some = {name: work[name] for name in names_at_once if name in work}
            found = bundles.divide(
                names, some, cores=local_cores(), redo=redo, pages=pages
            )
            for bundle in found:
                BY_BUNDLE[bundle] = [
                    name for name in bundle.names(names) if name in some
                ]
                BUNDLED.update(dict.fromkeys(BY_BUNDLE[bundle], bundle))
    # An earlier run that was killed may have left a file of that name.
    made_now = dict.fromkeys(BUNDLED[name].name for name in work)
    workflow.dag.forcefiles.update(expand(BUNDLE, bundle=made_now))
    return BUNDLED


@cache
def samples_by_source():
    """Names of the samples whose sources no rule makes, and of those whose sources rules make.

    A bundle has samples of one of these lists, of which its name has the indices.
    """
    made_by_rules = {name: bool(made_files(name)) for name in SAMPLES}
    return [
        [name for name in SAMPLES if made_by_rules[name] is which]
        for which in (False, True)
    ]


def is_converted(name):
    """Whether there is nothing to be done for a sample."""
    return not unreadable(name) and planned(name).is_planned and todo(name).is_done()


def wants_reports():
    """Whether the command line asks for the pages of all samples."""
    targets = workflow.dag_settings.targets
    return "report" in steps_of(targets) or INDEX in map(os.path.normpath, targets)


@cache
def is_reported(name):
    """Whether the page of a sample is there and shows the store as it is."""
    return page_records.is_current(RUN.paths(name))


def by_bundle():
    """The names of the samples of each bundle."""
    bundled()
    return BY_BUNDLE


def members(name):
    """The samples of a bundle; those that are converted already need no work."""
    bundle = Bundle.from_name(name)
    if workflow.is_main_process:
        found = by_bundle().get(bundle, [])
        if not found:
            sys.exit(f"neurozarr: there is no bundle {name} now: run without it")
        return [SAMPLES[name] for name in found]
    try:
        names = bundle.names(*samples_by_source())
    except ValueError as error:
        sys.exit(f"neurozarr: {error}: run again")
    # If a source cannot be read any more, the job says so, and converts the others.
    return [
        SAMPLES[name]
        for name in names
        if unreadable(name) or bundles.is_bundled(SAMPLES[name], small=RUN.bundle)
    ]


def made_members(wildcards):
    """What rules make of the sources of a bundle's samples."""
    each = (made_files(sample.name) for sample in members(wildcards.bundle))
    return [ancient(file) for files in each for file in files]


def readable_members(wildcards):
    """The samples of a bundle by which its job is measured."""
    return [
        sample for sample in members(wildcards.bundle) if not unreadable(sample.name)
    ]


def bundle_samples(wildcards):
    """Arguments of `Sample` for each sample of a bundle."""
    return [
        {field: getattr(sample, field) for field in Sample.__dataclass_fields__}
        for sample in members(wildcards.bundle)
    ]


def bundle_threads(wildcards):
    """Number of threads of a bundle's job."""
    count = len(by_bundle()) if workflow.is_main_process else 1
    return bundles.threads(
        readable_members(wildcards), bundles=count, cores=local_cores()
    )


def bundle_memory(wildcards, threads, attempt):
    return attempt * bundles.memory_mb(
        readable_members(wildcards),
        RUN.verify,
        threads,
        pages=Bundle.from_name(wildcards.bundle).pages,
    )


def bundle_minutes(wildcards, attempt):
    return attempt * bundles.minutes(
        readable_members(wildcards), pages=Bundle.from_name(wildcards.bundle).pages
    )


def all_bundles(wildcards):
    """The bundles of this run.

    If there are none, a file that no job writes, with which Snakemake finds nothing to be done.
    """
    found = [bundle.name for bundle in by_bundle()]
    small = [name for name in known_samples() if is_bundled(name)]
    if found or not small:
        return expand(BUNDLE, bundle=found)
    return [str(RUN.paths(small[0]).record)]


def forget_bundles():
    """Delete the files of this run's bundles: receipts tell which samples are converted.

    Snakemake must not compare the input of jobs that needed them with that of the next run.
    """
    files = set(expand(BUNDLE, bundle=[bundle.name for bundle in BY_BUNDLE]))
    for job in workflow.dag.jobs if files else []:
        if step_of(job.rule) and not files.isdisjoint(job.input):
            for file in job.output:
                workflow.persistence.cleanup_metadata(file)
    for file in files:
        Path(file).unlink(missing_ok=True)
