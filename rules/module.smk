# What this workflow must know of one that uses it, by `module` or by `include`.

import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.path_modifier import PATH_MODIFIER_FLAG
from snakemake.io import flag

# The directory of this file, which tells the rules of this workflow from those of others.
RULES = workflow.current_basedir.get_path_or_uri(secret_free=True)


def library():
    """Directory of the package neurozarr, which is among the files of this workflow.

    Those of GitHub and the like are in a clone of Snakemake's, without a work tree: the package of
    the wanted version is unpacked beside it, once.
    """
    rules = workflow.current_basedir
    if rules.is_local:
        return os.path.join(os.path.dirname(RULES), "scripts")
    repository = rules.hosted_repo.repo
    commit = repository.commit(rules.ref).hexsha
    unpacked = Path(rules.cache_path, "neurozarr", commit)
    if not unpacked.exists():
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=unpacked.parent) as directory:
            archive = io.BytesIO()
            repository.archive(archive, commit, path="scripts/neurozarr")
            archive.seek(0)
            with tarfile.open(fileobj=archive) as files:
                files.extractall(directory, filter="data")
            version = rules.tag.removeprefix("v") if rules.tag else f"0+g{commit[:7]}"
            metadata = Path(
                directory, f"scripts/neurozarr-{version}.dist-info/METADATA"
            )
            metadata.parent.mkdir()
            metadata.write_text(
                f"Metadata-Version: 2.1\nName: neurozarr\nVersion: {version}\n"
            )
            try:
                os.rename(os.path.join(directory, "scripts"), unpacked)
            except OSError:
                if not unpacked.exists():  # Otherwise another process was faster.
                    raise
    return str(unpacked)


def step_of(rule):
    """Name of the script of a rule of this workflow, which others may call otherwise; or None.

    Of a rule without a script, the name of its file.
    """
    ours = rule.basedir.get_path_or_uri(secret_free=True) == RULES
    return Path(rule.script or str(rule.snakefile)).stem if ours else None


def steps_of(names):
    """The steps that rules among given names of rules and files are."""
    found = [workflow.get_rule(name) for name in names if workflow.is_rule(name)]
    return {step_of(rule) for rule in found} - {None}


def rules_of(step):
    """The rules of a step: one, or several if a workflow uses this one several times."""
    return [ours for ours in workflow.rules if step_of(ours) == step]


def our_jobs():
    """The jobs of this run that are this workflow's, finished or not."""
    return [
        job
        for job in workflow.dag.needrun_jobs(exclude_finished=False)
        if step_of(job.rule)
    ]


def with_prefix(output):
    """The output directory with the prefix of the module, which Snakemake then leaves out.

    Snakemake would add it to the files of rules, but not to the parameters of scripts.
    """
    modifier = workflow.modifier.path_modifier
    if modifier.prefix is None and not modifier.modifies_prefixes:
        return output
    modified = os.path.normpath(modifier.replace_prefix(f"{output}/"))
    modifier.skip_properties |= {"input", "output"}
    return modified


def without_prefix(path):
    """A path among the logs of a rule that has the prefix already."""
    return flag(str(path), PATH_MODIFIER_FLAG)


def call_at(moment, function):
    """Have Snakemake call a function at a moment, before what `onstart:` and the like say.

    It knows only those of the main Snakefile, of which the last one counts.
    """
    theirs = getattr(workflow, f"_{moment}")

    def both(log):
        function()
        theirs(log)

    setattr(workflow, f"_{moment}", both)


def new_names(before):
    """What this workflow has defined since; exit if it replaced something of others."""
    names = {
        name: value
        for name, value in globals().items()
        if before.get(name) is not value
    }
    check_names({name: before[name] for name in names if name in before})
    return names


def check_names(names):
    """Exit if names do not stand any more for what they did."""
    for name, value in names.items():
        if globals().get(name) is not value:
            sys.exit(
                f"neurozarr: {name} is defined in {workflow.main_snakefile} and in "
                f"{os.path.dirname(RULES)}/Snakefile: instead of `include`, use `module`, which "
                "keeps names apart"
            )
