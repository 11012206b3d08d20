"""A program that runs Snakemake many times and imports its modules, which takes longer, once.

Each line of its input is a command, and a line answers it. {"start": …} tells the arguments, the
directory, the environment and the file for the output of a run, which a fork does as `python -m
snakemake` would, in a session of its own; the answer is the number of its process. {"wait": …}
tells such a number; the answer is the return code. The package neurozarr is imported by each run,
because its directory is known only then.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import sys

import nibabel  # noqa: F401
import smart_open  # noqa: F401
import snakemake.cli

snakemake.cli.get_argument_parser()  # It imports all plugins.
#: From linux/prctl.h: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
prctl = ctypes.CDLL(None).prctl


def main() -> None:
    """Answer each command; return in the fork that is to be a run, which is then prepared."""
    gc.freeze()
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            _, status = os.waitpid(command["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        elif os.fork() == 0:
            become(**command["start"])
            return
    sys.exit()


def become(arguments: list[str], directory: str, environment: dict[str, str], output: str) -> None:
    """Make this process like one that was just started."""
    os.setsid()
    # This program ends with the tests, and its runs with it, if the tests are killed.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    print(os.getpid(), flush=True)  # From now on, signals reach it.
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    for stream, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY)):
        opened = os.open(path, flags)
        os.dup2(opened, stream)
        os.close(opened)
    os.dup2(1, 2)
    sys.path.insert(0, directory)
    sys.argv = ["snakemake", *arguments]


main()
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
