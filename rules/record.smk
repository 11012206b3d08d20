# What others can know of this run while it goes on (neurozarr status).

import threading

from neurozarr.errors import StoreError
from neurozarr.run import records

# Jobs whose files are looked at in a second.
LOOKED_AT = 50
# Set when the run has ended, or when Snakemake exits.
ENDED = threading.Event()
# Says that the run goes on, once it does; and when it began, by the clock of the file system.
PULSES, BEGAN = [], []


class Events(logging.Handler):
    """Notes which jobs have failed, and which there are of late, whatever is printed."""

    def emit(self, record):
        event = getattr(record, "event", None)
        if event not in (LogEvent.JOB_INFO, LogEvent.JOB_ERROR) or not record.log:
            return
        if event == LogEvent.JOB_INFO:
            if record.jobid not in SAMPLES_OF:
                PULSES[0].plan(planned_samples())
            PULSES[0].started(record.log[0])
        else:
            PULSES[0].failed(record.log[0], SAMPLES_OF.get(record.jobid, []))


# Names of the samples of each job, and names of those of which the record has the plan.
SAMPLES_OF, RECORDED = {}, set()


def start_record():
    """Write down what this run has to do, and keep saying that it goes on."""
    samples = planned_samples()
    if not any(SAMPLES_OF.values()):
        return
    record = records.RunRecord(
        directory=os.getcwd(),
        logs=str(logs_of(our_jobs())),
        nii=RUN.nii,
        zarr_version=RUN.zarr_version,
        samples=samples,
    )
    try:
        BEGAN.append(records.start(RUN.output, record))
    except StoreError as error:
        sys.exit(f"neurozarr: {error}")
    PULSES.append(records.Pulse(RUN.output, record, BEGAN[0]))
    logger.addHandler(Events())
    atexit.register(ENDED.set)
    threading.Thread(target=look_on, daemon=True).start()


def planned_samples():
    """What this run has to do for samples, those excepted of which it was known before.

    Some jobs are known only when the sources are there that rules of others make.
    """
    jobs = our_jobs()
    SAMPLES_OF.update({job.jobid: names_of_job(job) for job in jobs})
    mine = defaultdict(list)
    for job in jobs:
        for name in SAMPLES_OF[job.jobid]:
            mine[name].append(job)
    # If only some files are asked for, others were not planned.
    names = [name for name in {**PROBLEMS, **mine} if name not in RECORDED]
    RECORDED.update(name for name in names if name in THERE)
    return {name: planned_sample(name, mine[name]) for name in names}


def look_on():
    """Say that the run goes on, and show how far it is, until it has ended.

    Every second, but less often if there are many jobs, whose files may be on a slow file system.
    """
    SCREEN.look()
    while not ENDED.wait(max(1, len(PROGRESS.running) / LOOKED_AT)):
        PULSES[0].beat()
        SCREEN.look()


def end_record(how):
    """Write down how this run has ended."""
    ENDED.set()
    SCREEN.end()
    for pulse in PULSES:
        pulse.end(how)


def logs_of(jobs):
    """Directory of the logs of this run's jobs, which is another one if a module has a prefix."""
    for job in jobs:
        if "bundle" in job.wildcards.keys():
            return Path(job.log[0]).absolute().parent
        if names := SAMPLES_OF[job.jobid]:
            return Path(job.log[0]).absolute().parents[len(Path(names[0]).parts)]
    return Path("logs").absolute()


def planned_sample(name, jobs):
    """What this run has to do for a sample."""
    common = {
        "ends": ends_of(name, jobs),
        "label": SAMPLES[name].label,
        "in_place": RUN.paths(name).place is not None,
    }
    if name not in THERE or unreadable(name) or not SAMPLES[name].is_planned:
        return records.PlannedSample(bytes_per_voxel=0, levels=(), **common)
    sample = SAMPLES[name]
    blocks = blocks_of(name, jobs)
    return records.PlannedSample(
        bytes_per_voxel=sample.dtype.itemsize,
        levels=tuple(
            records.PlannedLevel(
                number=number,
                shape=level.shape,
                block=level.block,
                todo=records.consecutive(blocks[number]),
            )
            for number, level in enumerate(sample.levels)
            if not RUN.paths(name).level(number).given
        ),
        **common,
    )


def blocks_of(name, jobs):
    """Numbers of the blocks of each level that this run writes."""
    found = defaultdict(set)
    for job in jobs:
        if step_of(job.rule) in ("write_base", "pyramid_level"):
            for number in numbers(job.wildcards):
                found[number].add(int(job.wildcards.block))
        elif step_of(job.rule) == "convert_bundle":
            redo = Bundle.from_name(job.wildcards.bundle).redo == "all"
            for number, count in enumerate(SAMPLES[name].blocks):
                place = RUN.paths(name).level(number)
                if place.given:
                    continue
                redo = redo or not todo(name).is_done(*place.files(count))
                found[number].update(range(count) if redo else ())
    return found


def ends_of(name, jobs):
    """Names of the receipts that some jobs of a sample write last."""
    steps = {step_of(job.rule) for job in jobs}
    if "convert_bundle" in steps:
        header = "nifti_header" if RUN.paths(name).nii else "ome_metadata"
        steps.add(header if RUN.verify == "none" else "verify_store")
    last = [
        receipt
        for step, receipt in (
            ("verify_store", "verify.json"),
            ("nifti_header", "header.json"),
            ("ome_metadata", "ome.json"),
            ("extend_metadata", "ome.json"),
        )
        if step in steps
    ][:1]
    exports = [
        RUN.paths("").export_receipt(job.wildcards.level).name
        for job in jobs
        if step_of(job.rule) == "export_nifti"
    ]
    return (*last, *exports)
