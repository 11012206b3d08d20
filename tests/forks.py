"""A program that runs Snakemake many times and imports its modules, which takes longer, once.

Each line of its input tells the arguments, the directory, the environment and the file for the
output of a run. A fork does with them what `python -m snakemake` does; a line with its return code
answers. The package neurozarr and all that only it needs are imported by each run.
"""

import gc
import json
import os
import runpy
import signal
import sys

import snakemake.cli  # noqa: F401

SECONDS = 300


def main() -> None:
    """Answer each line; return in the fork that is to be a run, which is then prepared."""
    gc.freeze()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            become(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


def become(arguments: list[str], directory: str, environment: dict[str, str], output: str) -> None:
    """Make this process like one that was just started."""
    signal.alarm(SECONDS)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY)):
        opened = os.open(path, flags)
        os.dup2(opened, stream)
        os.close(opened)
    os.dup2(1, 2)
    sys.path.insert(0, directory)
    sys.argv = ["snakemake", *arguments]


main()
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
