# What a run prints: a line for each sample and step, and at its end what it made or what failed.

import atexit
import math
import re

from snakemake_interface_logger_plugins.common import LogEvent

from neurozarr.run import summary
from neurozarr.run.live import LiveLine, is_terminal
from neurozarr.run.partial import bytes_in, bytes_of_block
from neurozarr.run.progress import Job, Progress

# Messages of Snakemake that are only in its log, beside those on each job.
NOT_ON_SCREEN = re.compile(
    "Building DAG|Using shell|Provided cores|Rules claiming|Conda environments|Select jobs|"
    "Execute \\d+ jobs|Assuming unrestricted|Exiting because|RuleException:\\sCalledProcessError|"
    "DAG of jobs will be updated|Updating checkpoint|WorkflowError:\\sAt least one job did not"
)

# The jobs of this run and how far they are.
PROGRESS = Progress()

# The samples for which this run has jobs, by their names.
TASKS = {}


def find_tasks():
    """Find the samples for which this run has jobs, and the logs that these write.

    Some jobs are known only when the sources are there that rules of others make.
    """
    logs, shared = defaultdict(set), {}
    for job in our_jobs():
        if "sample" in job.wildcards.keys():
            logs[name_of(job.wildcards)].update(map(Path, job.log))
        elif "bundle" in job.wildcards.keys():
            for member in members(job.wildcards.bundle):
                logs[member.name].add(Path("logs", member.name, "convert.log"))
                shared[member.name] = Path(job.log[0])
    jobs = {job.jobid: job for job in our_jobs() if is_planned(job)}
    work = {number: work_of(job) for number, job in jobs.items()}
    with SCREEN.lock:
        PROGRESS.add(work)
        SCREEN.jobs.update(jobs)
    for name in filter(logs.__contains__, SAMPLES):
        before = TASKS.get(name)
        TASKS[name] = summary.Task(
            name=name,
            paths=RUN.paths(name),
            bytes=size_of_source(name) or (before.bytes if before else 0),
            logs=tuple(logs[name].union(before.logs if before else ())),
            shared=shared.get(name, before.shared if before else None),
        )


def is_planned(job):
    """Whether it is known what a job does: nothing but wait, if its source is not there."""
    return "sample" not in job.wildcards.keys() or name_of(job.wildcards) in THERE


class Screen(logging.Filter):
    """Replaces what Snakemake prints about each job; its log has all of it."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        # Its jobs that are known, by their numbers.
        self.jobs = {}
        self.is_used, self.line = False, None

    def use(self):
        """Filter what Snakemake prints; on a terminal, also show a line that is rewritten."""
        for handler in logger.handlers:
            if handler.name == "DefaultStreamHandler":
                self.is_used = True
                handler.addFilter(self)
                if is_terminal(handler.stream):
                    self.line = LiveLine(handler.stream)
                    handler.setStream(self.line)
                    atexit.register(self.end)

    def filter(self, record):
        if workflow.touch:  # No job is run.
            return True
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            if not self.started(record.jobid):
                find_tasks()
                self.started(record.jobid)
        elif event == LogEvent.JOB_FINISHED:
            with self.lock:
                line = PROGRESS.finished(record.job_id)
            if line:
                logger.info(line)
        elif event == LogEvent.JOB_ERROR:
            with self.lock:
                PROGRESS.stopped(record.jobid)
            # Of a plan, what it has printed says why a run would fail.
            if "plan" in steps_of([record.rule_name]):
                return False
            logger.error(f"job {record.rule_name} failed: {', '.join(record.log)}")
        elif event is None or event == LogEvent.ERROR:
            return not NOT_ON_SCREEN.match(record.getMessage())
        return False

    def started(self, number):
        """Note that a job has been started; return whether it is known."""
        with self.lock:
            return PROGRESS.started(number)

    def look(self):
        """Find how much the running jobs have written, and show it."""
        if not self.is_used:
            return
        with self.lock:
            running = PROGRESS.running
        found = {number: written_by(self.jobs[number]) for number in running}
        with self.lock:
            for number, megabytes in found.items():
                PROGRESS.wrote(number, megabytes)
            lines = [] if self.line else PROGRESS.due()
            # Not after `end`, for which the lock is needed, too.
            if self.line and not ENDED.is_set():
                self.line.show(PROGRESS.now())
        for line in lines:
            logger.info(line)

    def end(self):
        """Leave the terminal to others."""
        if self.line:
            with self.lock:
                self.line.show("")


SCREEN = Screen()


def written_by(job):
    """Size of the voxels that a job has written until now, in MB."""
    step, since = step_of(job.rule), BEGAN[0]
    if step == "convert_bundle":
        file = Path(f"{job.output[0]}.partial.json")
        return bytes_in(file, since=since) / 1e6
    if step not in ("write_base", "pyramid_level"):
        return 0.0
    block = int(job.wildcards.block)
    return (
        sum(
            bytes_of_block(
                paths_of(job.wildcards).level(number),
                block,
                round(megabytes_of(sample(job.wildcards), level, block) * 1e6),
                since=since,
            )
            for number, level in zip(numbers(job.wildcards), levels(job.wildcards))
        )
        / 1e6
    )


def work_of(job):
    """What a job does, and the size of the voxels that it writes."""
    if step_of(job.rule) == "convert_bundle":
        names = [sample.name for sample in members(job.wildcards.bundle)]
        many = f"{len(names)} samples, {names[0]} to {names[-1]}"
        return Job(many if len(names) > 1 else names[0], sum(map(megabytes, names)))
    if step_of(job.rule) in ("write_base", "pyramid_level"):
        made = numbers(job.wildcards)
        named = (
            f"level {made[0]}" if len(made) == 1 else f"levels {made[0]} to {made[-1]}"
        )
        block = int(job.wildcards.block)
        planned_levels = levels(job.wildcards)
        size = sum(
            megabytes_of(sample(job.wildcards), level, block)
            for level in planned_levels
        )
        return Job(f"{name_of(job.wildcards)}: {named}", size)
    done = {
        "verify_store": "verified",
        "export_nifti": "exported",
        "report_sample": "page made",
    }
    if step_of(job.rule) in done:
        return Job(f"{name_of(job.wildcards)}: {done[step_of(job.rule)]}")
    silent = step_of(job.rule) in STEPS | {"source_made"} or not job.wildcards
    return Job("" if silent else step_of(job.rule))


def megabytes(name):
    """Size of the voxels of all levels of a sample; of its source if there is no plan yet."""
    if unreadable(name) or not SAMPLES[name].is_planned:
        return size_of_source(name) / 1e6
    return sum(
        megabytes_of(SAMPLES[name], level, block)
        for level in SAMPLES[name].levels
        for block in range(level.blocks)
    )


def megabytes_of(sample, level, block):
    sides = level.region(block)
    return (
        math.prod(side.stop - side.start for side in sides)
        * sample.dtype.itemsize
        / 1e6
    )


# What was asked for of Snakemake's own output is what it prints.
said = workflow.output_settings
if (
    workflow.is_main_process
    and IS_MAIN
    and not (said.dryrun or said.quiet or said.verbose or said.debug_dag)
):
    SCREEN.use()


def size_of_source(name):
    """Size of the files of a source, in bytes; 0 if it cannot be read (yet)."""
    if name not in THERE:
        return 0
    try:
        return sum(os.stat(file).st_size for file in SAMPLES[name].files)
    except (NeurozarrError, OSError):
        return 0


def command(target=None):
    """The command of this run, or the same with another target, as the user would type it."""
    process, *words = shlex.split(os.environ.get("NEUROZARR_COMMAND", "0"))
    if process == str(os.getpid()):
        return f"neurozarr {shlex.join([target or words[0], *words[1:]])}"
    given = sys.argv[1:]
    if target:
        named = workflow.dag_settings.targets
        given = [target, *(arg for arg in given if arg not in named)]
    return f"snakemake {shlex.join(given)}"


def print_last(text):
    """Print a text when Snakemake has printed all that it has to say."""
    atexit.register(print, text, file=sys.stderr)


def end_well():
    """What is done after a run without failures."""
    end_record("well")
    forget_bundles()
    if TASKS:
        exports = "export" in workflow.dag_settings.targets
        commands = {}
        if exports:
            commands["exported to"] = RUN.paths("").export(0).parent
        if any(task.paths.nii for task in TASKS.values()) and not exports:
            commands["to export to NIfTI"] = command("export")
        if wants_reports():
            commands["to see the pages"] = f"open {INDEX} in a browser"
        else:
            commands["to make pages"] = command("report")
        print_last(
            summary.success_text(
                list(TASKS.values()),
                output=RUN.output,
                seconds=time.monotonic() - STARTED,
                commands=commands,
                notices=NOTICES.all(),
            )
        )


def end_badly():
    """What is done after a run in which a job failed."""
    end_record("badly")
    forget_bundles()
    if TASKS:
        # Read again, because files may have changed since the run was planned.
        done = [is_done_now(name) for name in TASKS]
        if wants_reports():
            list_failures(done)
        print_last(
            summary.failure_text(
                list(TASKS.values()), done, again=command(), notices=NOTICES.all()
            )
        )


def list_failures(done):
    """Write the list of all pages, with the reasons of samples that failed.

    The job that would write it has not run, because others failed before.
    """
    from neurozarr.report.index import write_index

    failed = {
        name: {"reason": reason, "log": str(log)}
        for name, (reason, log) in summary.reasons(list(TASKS.values()), done).items()
    }
    try:
        write_index(RUN.paths(""), failed, samples=SAMPLES)
    except NeurozarrError as error:
        logger.error(f"neurozarr: {error}")


def is_done_now(name):
    """Whether nothing is left to be done for a sample after a run."""
    sample, paths = replace(SAMPLES[name]), RUN.paths(name)
    if name not in THERE:  # The rule that makes its source failed.
        return False
    if not all(map(os.path.exists, made_files(name))):
        return made.seems_done(sample, paths, RUN)
    try:
        return (
            sample.is_planned and rerun.Todo(sample, paths, verify=RUN.verify).is_done()
        )
    except NeurozarrError:
        return False
