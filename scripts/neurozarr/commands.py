"""The command ``neurozarr``: it starts Snakemake with the workflow, describes or shows stores."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from neurozarr.errors import ConfigError, NeurozarrError
from neurozarr.version import VERSION

_OPTION = re.compile(r"(?P<name>[a-z]\w*(\.\w+)*)=(?P<value>.*)", re.DOTALL)

_DESCRIPTION = (
    "Convert neuroimaging and microscopy volumes into multi-resolution OME-Zarr and NIfTI-Zarr\n"
    "stores. 'neurozarr COMMAND --help' describes a command."
)
_EXAMPLES = """\
examples:
  neurozarr run scan.nii.gz
  neurozarr run scans/*.nii.gz --output converted pyramid.mode=median zarr.chunk=64
  neurozarr run --samples sheet.tsv -- --cores 4 --keep-incomplete
  neurozarr info converted/scan.nii.zarr
  neurozarr status converted
  neurozarr view converted/scan.nii.zarr

The workflow is {snakefile}
"""

#: Commands that run Snakemake: the arguments that it gets for them, and what they do.
_RUNS = {
    "run": ([], "convert volumes, or continue where an earlier run has stopped"),
    # A run that is active in the same directory is not in the way.
    "plan": (["plan", "--nolock"], "print what run would do: levels, jobs, size, time and space"),
    "verify": (["verify"], "convert what is not converted, and verify all stores again"),
    "export": (["export"], "convert what is not converted, and write levels as .nii.gz files"),
    "report": (["report"], "convert what is not converted, and make pages with pictures of all"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what a command line asks for; the process becomes that of Snakemake if it is a run.

    Parameters
    ----------
    arguments
        The command line without the name of the program; that of this process if None.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["info"]:
        _info(given[1:])
    elif given[:1] == ["status"]:
        _status(given[1:])
    elif given[:1] == ["view"]:
        _view(given[1:])
    else:
        command = [sys.executable, "-P", "-m", "snakemake", *snakemake_arguments(given)]
        sys.stdout.flush()
        # The workflow tells by it what the user may say next, if it is this process that runs it.
        os.environ["NEUROZARR_COMMAND"] = shlex.join([str(os.getpid()), *given])
        os.execv(sys.executable, command)


def snakemake_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of Snakemake for a command line such as ``run scan.nii.gz``.

    Exits with a message if the command line is wrong, or asks for help.
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    given, others = list(arguments[:end]), list(arguments[end + 1 :])
    parser, commands = _parsers()
    if not given or given[0] not in commands:
        parser.parse_args(given)
        parser.error("give a command: " + ", ".join(commands))
    command = commands[given[0]]
    # Sources and options may stand before, between and after the others.
    asked, unknown = command.parse_known_intermixed_args(given[1:])
    if unknown:
        command.error(f"unrecognized arguments: {shlex.join(unknown)}; {_meant(given[0], unknown)}")
    theirs = _reserved(others)
    if theirs.config is not None or theirs.configfile is not None:
        command.error(
            "--config and --configfile of Snakemake are not given after --, but before it: options "
            "as NAME=VALUE, and --configfile FILE"
        )
    # It imports the YAML parser.
    from neurozarr.samples.config_file import FOUND_CONFIG, check_config_file

    try:
        config = _config(asked)
        for file in ([FOUND_CONFIG] if FOUND_CONFIG.exists() else []) + (asked.configfile or []):
            check_config_file(file)
    except ConfigError as error:
        command.error(str(error))
    made = [*_RUNS[given[0]][0], *others, "--snakefile", str(snakefile())]
    if theirs.cores is None:
        made += ["--cores", "all"]
    if os.environ.get("NO_COLOR"):  # Of no-color.org; Snakemake itself does not know it.
        made.append("--nocolor")
    if asked.configfile:
        made += ["--configfile", *asked.configfile]
    if config:
        made += ["--config", *(f"{name}={value}" for name, value in config.items())]
    return made


def _meant(command: str, unknown: Sequence[str]) -> str:
    """What may be meant by arguments that a command does not know: how to write it."""
    name, _, value = unknown[0].partition("=")
    word = name.lstrip("-").replace("-", "_")
    own = difflib.get_close_matches(name, ["--output", "--samples", "--configfile"], n=1)
    if own or word == "o":
        return f"did you mean {own[0] if own else '--output'}?"
    from neurozarr.samples.schema import CONFIG_SCHEMA, Schema  # It imports more than others need.

    value = value or next((one for one in unknown[1:] if not one.startswith("-")), "VALUE")
    options = [
        name for name in Schema(CONFIG_SCHEMA).options() if word in (name, name.split(".")[-1])
    ]
    if options:
        written = " or ".join(shlex.quote(f"{name}={value}") for name in options)
        return f"options are written without --: did you mean {written}?"
    return f"options of Snakemake follow --, as in neurozarr {command} ... -- {shlex.join(unknown)}"


def snakefile() -> Path:
    """Path of the workflow: that in the installed package or, in a clone, at its top."""
    package = Path(__file__).parent
    installed = package / "workflow/Snakefile"
    return installed if installed.exists() else package.parents[1] / "Snakefile"


def _info(arguments: list[str]) -> None:
    """Print a table of each store; then exit with a message if there are none at some paths."""
    parser = _parsers()[1]["info"]
    asked = parser.parse_args(arguments)
    from neurozarr.info import describe  # It imports the drivers, which Snakemake does not need.

    described, wrong = [], []
    for store in asked.stores:
        try:
            described.append(describe(store))
        except NeurozarrError as error:
            wrong.append(str(error))
    if described:
        with _printing(parser):
            print("\n\n".join(described), flush=True)
    if wrong:
        sys.exit("\n".join(wrong))


@contextmanager
def _printing(parser: _Parser) -> Iterator[None]:
    """Exit if nobody reads what a command prints, or with a message if it cannot be printed."""
    try:
        yield
    except BrokenPipeError:  # Of `neurozarr status | head`; Python would complain at its end.
        _print_no_more()
        sys.exit(1)
    except OSError as error:
        _print_no_more()
        parser.error(f"{error.filename or 'what it prints'}: {error.strerror}")


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _status(arguments: list[str]) -> NoReturn:
    """Print how far the runs of each output directory are; the exit status says it, too."""
    parser = _parsers()[1]["status"]
    asked = parser.parse_args(arguments)
    # It imports what Snakemake's own start does not need.
    from neurozarr.status import configured_output, watch

    try:
        with _printing(parser):
            outputs = asked.outputs or [configured_output()]
            sys.exit(watch(outputs, everything=asked.all, seconds=asked.watch))
    except NeurozarrError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _view(arguments: list[str]) -> None:
    """Show stores in a browser; exit with a message if they cannot be shown."""
    _, commands = _parsers()
    asked = commands["view"].parse_args(arguments)
    from neurozarr.viewer.view import view  # It imports the drivers, too.

    try:
        view(asked.stores, port=asked.port, browser=asked.browser)
    except NeurozarrError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the command that explains more."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of the whole command line, and those of what follows each command."""
    described: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = _Parser(
        prog="neurozarr",
        description=_DESCRIPTION,
        epilog=_EXAMPLES.format(snakefile=snakefile()),
        **described,
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    found = {}
    for name, (_, text) in _RUNS.items():
        found[name] = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            usage="%(prog)s [SOURCE ...] [NAME=VALUE ...] [--output DIR] [--samples SHEET]\n"
            "       [--configfile FILE ...] [-- SNAKEMAKE OPTIONS]",
            epilog="Options that are not given are read from the file config/config.yaml in this "
            "directory, if there is one. As many processors are used as there are, unless "
            "'-- --cores N' gives another number. All options are described in "
            f"{snakefile().parent / 'config/README.md'}",
        )
        _add_arguments(found[name])
    found["info"] = commands.add_parser(
        "info",
        help="print a table of the levels of a store",
        description="Print a table of the levels of each image in a store.",
    )
    found["status"] = commands.add_parser(
        "status",
        help="print how far the runs are that write to a directory",
        description="Print how far the runs are that write to a directory, which may be on other\n"
        "machines. Nothing is written, and runs are not disturbed.",
        epilog="The exit status is 0 if all samples are done; 3 if a run is in progress, and no\n"
        "sample has failed; 2 if there is no such directory; and otherwise 1.",
        **described,
    )
    found["status"].add_argument(
        "outputs",
        metavar="OUTPUT",
        nargs="*",
        help="an output directory; by default, that of config/config.yaml, or results",
    )
    found["status"].add_argument("--all", action="store_true", help="list all samples")
    found["status"].add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_seconds,
        const=10.0,
        help="print again after some seconds (10 by default), until no run is in progress",
    )
    found["info"].add_argument("stores", metavar="STORE", nargs="+", help="a directory or a URL")
    found["view"] = commands.add_parser(
        "view",
        help="show stores in a browser",
        description="Show the images of stores, with their labels, in a browser on this computer, "
        "until Ctrl-C is pressed. Images whose anatomy is known are in RAS+ coordinates: left is "
        "left in axial and coronal panels, and anterior is right in the sagittal panel. Nothing "
        "is fetched from other computers, and none can look.",
    )
    found["view"].add_argument("stores", metavar="STORE", nargs="+", help="a directory")
    found["view"].add_argument(
        "--port", type=int, default=0, help="port of the page (default: any that is free)"
    )
    found["view"].add_argument(
        "--no-browser",
        dest="browser",
        action="store_false",
        help="print the address of the page, and do not open it",
    )
    return parser, found


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: give 0.1 to 86400 seconds")
    return seconds


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="SOURCE | NAME=VALUE",
        nargs="*",
        help="a file, a directory, a URL or a glob to convert; or an option, such as "
        "pyramid.mode=median (a source that looks like one is given as ./NAME=VALUE)",
    )
    parser.add_argument("--output", metavar="DIR", help="directory in which stores are written")
    parser.add_argument("--samples", metavar="SHEET", help="tab-separated sample sheet")
    parser.add_argument(
        "--configfile", metavar="FILE", action="append", help="configuration file with options"
    )


def _config(asked: argparse.Namespace) -> dict[str, str]:
    """The options of a run, as Snakemake's option ``--config`` reads them.

    Raises
    ------
    ConfigError
        One is given twice.
    """
    words = [(word, _OPTION.fullmatch(word)) for word in asked.words]
    given: list[tuple[str, Any]] = [(said["name"], said["value"]) for _, said in words if said]
    paths = [("output", asked.output), ("samples", asked.samples)]
    given += [(name, _as_path(path)) for name, path in paths if path is not None]
    if sources := [word for word, said in words if not said]:
        given.append(("source", sources))
    config: dict[str, Any] = {}
    for name, value in given:
        group, _, option = name.rpartition(".")
        place = config.setdefault(group, {}) if group else config
        if not isinstance(place, dict) or option in place:
            raise ConfigError(f"{name} is given twice")
        place[option] = value
    # JSON is YAML. In a list or an object, Snakemake reads no name as a number.
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in config.items()
    }


def _as_path(path: str) -> str:
    """The path, so that Snakemake does not read a directory such as 2026 as a number."""
    try:
        float(path)
    except ValueError:
        return path
    return f"./{path}"


def _reserved(options: list[str]) -> argparse.Namespace:
    """Options among those of Snakemake that decide what else it is given.

    ``cores`` is not None if one says how many jobs run at once, or where.
    """
    parser = _Parser(add_help=False)
    for name in ("--cores", "--jobs", "--executor", "--profile", "--workflow-profile"):
        short = {"--cores": ["-c"], "--jobs": ["-j"], "--executor": ["-e"]}.get(name, [])
        parser.add_argument(name, *short, dest="cores", nargs="?", const="")
    parser.add_argument("--config", "-C", dest="config", nargs="*")
    parser.add_argument("--configfile", "--configfiles", dest="configfile", nargs="*")
    return parser.parse_known_args(options)[0]
