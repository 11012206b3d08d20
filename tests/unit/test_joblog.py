"""The log of a job: messages, errors and crashes."""

import signal
import subprocess
import sys

import pytest

START = """
import logging, os, signal
from neurozarr.errors import SourceError
from neurozarr.run.joblog import logged
with logged("job.log"):
    logging.info("begun")
"""


def run(directory, end):
    job = [sys.executable, "-c", f"{START}    {end}"]
    done = subprocess.run(job, cwd=directory, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, (directory / "job.log").read_text()


@pytest.mark.parametrize(
    ("error", "traceback"), [('SourceError("a.nii: cut short")', False), ("ValueError(3)", True)]
)
def test_error_is_printed_in_one_line_and_logged(tmp_path, error, traceback):
    code, terminal, log = run(tmp_path, f"raise {error}")
    assert code == 1
    assert terminal.startswith(error.split("(")[0])
    assert terminal.count("\n") == 1
    assert "INFO begun" in log
    assert ("Traceback" in log) == traceback


def test_crash_is_logged(tmp_path):
    code, _, log = run(tmp_path, "os.kill(os.getpid(), signal.SIGBUS)")
    assert code == -signal.SIGBUS
    assert "INFO begun" in log
    assert "Bus error" in log
