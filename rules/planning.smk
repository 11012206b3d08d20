# Planning of samples: their sources are read, and their outputs checked.

# Samples that are planned at once on a slow file system, and how many tell whether it is slow. On a
# fast one, threads would only wait for each other.
PLANNED_AT_ONCE, TRIED = 8, 20


@cache
def planned(name):
    """Return a sample after checking its source and planning its levels; exit on errors.

    If a rule made the source, other samples go on, and this one counts as not there.
    """
    if error := unreadable(name):
        if workflow.is_main_process and made_files(name):
            raise not_there(name)
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


def unreadable(name):
    """Why the source of a sample cannot be converted, or None.

    Until its source is there, an exception tells Snakemake to ask later.
    """
    if not is_there(name):
        raise not_there(name)
    return problem(name)


@cache
def problem(name):
    """Why the source of a sample, which is there, cannot be converted, or None.

    Exit on errors of other kinds, except in a job, which fails with them later, and when jobs are
    running, because a rule has just made the source.
    """
    if workflow.is_main_process:
        prepare_hooks()
    else:
        set_environment()
    if name not in SAMPLES:
        sys.exit(
            "\n".join(
                f"neurozarr: {reason}"
                for reason in [*ABSENT, f"there is no sample {name!r}"]
            )
        )
    try:
        SAMPLES[name].check()
        if workflow.is_main_process:
            check_outputs(SAMPLES[name], RUN.paths(name))
            if HAS_STARTED and SAMPLES[name].is_planned and not todo(name).is_done():
                unpublish_label(name)
    except NeurozarrError as error:
        of_source = isinstance(error, SourceError) or made_files(name)
        # An image of others is also where its levels are written: what is wrong stops no other.
        of_source = of_source or RUN.paths(name).place is not None
        if workflow.is_main_process and not of_source:
            sys.exit(f"neurozarr: sample {name}: {error}")
        return error
    return None


@cache
def written():
    """All stores and directories that this run may write."""
    return rerun.Written(RUN.written(SAMPLES), RUN.groups())


def check_outputs(sample, paths):
    """Exit if files of others would be overwritten; tell Snakemake which files are stale."""
    written().check_sample(sample)
    if paths.place:
        rerun.check_same_image(sample, paths, overwrite=RUN.overwrite)
        if not todo(sample.name).is_written():
            extending.check_writable(paths)
            ownership.check_voxels(paths, todo(sample.name).stale, len(sample.blocks))
    ownership.check(paths, len(sample.blocks) if paths.place else 0)
    sidecars.check(paths, sample.sidecars if sample.is_planned else [".json"])
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
    first = paths.level(max(sample.first, 1))
    if tells and not todo(sample.name).is_done(first.array_receipt):
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


# Why samples that were planned cannot be converted, or None, by their names.
PROBLEMS = {}


def all_planned():
    """Plan all samples whose sources are there, those of the last call excepted.

    Many are planned at once if most of the time is spent waiting for files. Return those whose
    sources can be read; exit if there is none.
    """
    if ABSENT:
        sys.exit("\n".join(f"neurozarr: {reason}" for reason in ABSENT))
    if not SAMPLES:
        sys.exit(
            "neurozarr: config: nothing to convert; give source (a file, a list of files, or a "
            "glob) or samples (a tab-separated sheet), such as neurozarr run scan.nii.gz, or "
            "snakemake --config source=scan.nii.gz"
        )
    written()  # Made once, before the threads ask for it.
    known = known_samples()
    names = [name for name in known if name not in PROBLEMS]
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
    PROBLEMS.update(errors)
    others = len(SAMPLES) - sum(map(bool, PROBLEMS.values()))
    if wrong and not others and not any(map(made_files, errors)):
        sys.exit("\n".join(wrong))
    if wrong:
        rest = [f"neurozarr: {goes_on(others)}"] if others else []
        logger.error("\n".join([*wrong, *rest]))
        if workflow.output_settings.dryrun:
            fail_dry_run(f"{len(wrong)} of {len(SAMPLES)} samples cannot be converted")
    return [planned(name) for name in known if not PROBLEMS[name]]


def goes_on(others):
    return "the other goes on" if others == 1 else f"the other {others} go on"


def fail_dry_run(reason):
    """Have a dry run end with an error, as the run would, after it has printed what is to be done.

    Snakemake has no hook for it. This is the last that it does before it says that it was dry.
    """
    log_provenance_info = workflow.log_provenance_info

    def fail():
        log_provenance_info()
        sys.exit(f"neurozarr: {reason}: the reasons are above")

    workflow.log_provenance_info = fail
