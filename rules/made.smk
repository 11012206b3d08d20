# Sources that rules of other workflows make: their samples are planned when these are there.

import errno
from functools import wraps

from snakemake.exceptions import IncompleteCheckpointException
from snakemake.io import ancient, checkpoint_target, is_flagged

from neurozarr.samples import made

# Samples whose sources are there, and which no remaining job of this run makes again.
THERE = set()


@cache
def others_make_files():
    """Whether there are rules beside those of this workflow, or another such module."""
    others = (rule for rule in workflow.rules if not step_of(rule))
    return len(rules_of("source_made")) > 1 or any(rule.output for rule in others)


@cache
def is_made(path, *, folder):
    """Whether a rule makes a file or, with `folder`, a directory as a whole."""
    rules = workflow.dag.output_index.match_producers(path)
    outputs = (file for rule in rules for file in rule.output if file.match(path))
    return any(bool(is_flagged(file, "directory")) is folder for file in outputs)


@cache
def made_folder(path):
    """The directory that a rule makes and in which a path lies; or None."""
    parent = os.path.dirname(path)
    if parent in ("", path):
        return None
    return parent if is_made(parent, folder=True) else made_folder(parent)


def made_path(path):
    """A path, or the directory in which it lies, as the rule names it that makes it; or None.

    Wildcards also stand for what has slashes: a directory with the name of a file is one in which
    the file lies, if there is a choice.
    """
    for name in made.spellings(path):
        folder = made_folder(name)
        in_folder = folder and made.is_file(name)
        if is_made(name, folder=False) or (
            is_made(name, folder=True) and not in_folder
        ):
            return name
        if folder:
            return folder
    return None


@cache
def made_files(name):
    """The files and directories, made by rules, that a sample is read from."""
    if name not in SAMPLES or not others_make_files():
        return []
    found = list(dict.fromkeys(map(made_path, made.read_paths(SAMPLES[name]))))
    found = [file for file in found if file is not None]
    try:
        written().check_apart(map(Path, found))
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {name}: {error}")
    return found


def source_there(name):
    """A file that exists when the source of a sample is there; Snakemake then looks again."""
    return checkpoint_target(str(RUN.paths(name).source_receipt))


def not_there(name):
    """What tells Snakemake that a function can only be called when a source is there."""
    return IncompleteCheckpointException(rules_of("source_made")[0], source_there(name))


def is_there(name):
    """Whether the source of a sample can be read now, because no job that is left makes it.

    A source that was deleted after its conversion, such as one marked `temp()`, is not there. It is
    made again only if something of its store is missing.
    """
    if name in THERE:
        return True
    if workflow.is_main_process:
        prepare_hooks()
        if files := made_files(name):
            gone = not all(map(os.path.exists, files))
            if (gone or not only_plans()) and not is_noted(name, gone):
                return False
            SAMPLES[name] = made.when_there(SAMPLES[name], RUN)
            if SAMPLES[name].place is not None:
                RUN.in_place[name] = SAMPLES[name].place
                written.cache_clear()
    THERE.add(name)
    return True


def is_noted(name, gone):
    """Whether the checkpoint of a source is complete, and the source is not gone."""
    paths = RUN.paths(name)
    try:
        checkpoints.source_made.get(sample=paths.sample, label=paths.label)
    except IncompleteCheckpointException:
        forced = steps_of(workflow.dag_settings.forcerun)
        if gone and (forced or not made.seems_done(SAMPLES[name], paths, RUN)):
            need_source(name)
        return False
    return not gone


@cache
def only_plans():
    """Whether nothing but the target `plan` is asked for, which makes no source again."""
    targets = workflow.dag_settings.targets
    return len(targets) == 1 and steps_of(targets) == {"plan"}


def is_awaited(name):
    """Whether the source of a sample is not there, and its store is not complete without it."""
    paths = RUN.paths(name)
    return not (is_there(name) or made.seems_done(SAMPLES[name], paths, RUN))


def need_source(name):
    """Have a source that was deleted made again."""
    workflow.dag.forcefiles.add(str(RUN.paths(name).source_receipt))


def known_samples():
    """Names of the samples of which the source is there, or made by no rule."""
    if len(THERE) < len(SAMPLES):
        for name in SAMPLES:
            is_there(name)
    return [name for name in SAMPLES if name in THERE]


def waited_for(needs_source=lambda name: False):
    """Files with which a target waits for the sources that are not there.

    Those that a target needs are made again if they were deleted.
    """
    known_samples()
    names = [name for name in SAMPLES if name not in THERE]
    for name in filter(needs_source, names):
        if not all(map(os.path.exists, made_files(name))):
            need_source(name)
    return [source_there(name) for name in names]


def made_source(wildcards):
    """What a rule makes of the source of a sample, for the jobs that read it.

    Whether it has changed is told by the receipts, not by its time. Jobs that cannot be planned,
    because it is not there or unreadable, have the file that says that it is there.
    """
    name = name_of(wildcards)
    files = [ancient(file) for file in made_files(name)]
    waits = files and (not is_there(name) or unreadable(name))
    return [*files, *([source_there(name)] if waits else [])]


def known_later(resource):
    """Have Snakemake ask again for a resource of a job whose source is not there.

    It does so if an input file is not found.
    """

    @wraps(resource)
    def from_wildcards(wildcards, **known):
        try:
            return resource(wildcards, **known)
        except IncompleteCheckpointException as error:
            file = str(error.targetfile)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)

    return from_wildcards
