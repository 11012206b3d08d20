import json
import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from neurozarr.errors import ClaimError
from neurozarr.run import claims
from neurozarr.run.claims import Run
from neurozarr.run.processes import start_of_process, this_machine

from ..programs import PATIENCE, Program

# Claims a sample repeatedly, each time at the same moment as another process, and prints the error,
# or "" if it won.
RIVAL = """
import json, sys
from pathlib import Path
from neurozarr.run import claims
from neurozarr.errors import ClaimError

root, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
told = []
for number in range(rounds):
    print("ready", flush=True)
    sys.stdin.readline()
    run = claims.Run(directory=f"/runs/{name}", repair="", host=f"host-{name}")
    try:
        claims.start([root / str(number)], run, is_running=lambda other: other.name != "ended")
    except ClaimError as error:
        told.append(str(error))
    else:
        told.append("")
print(json.dumps(told), flush=True)
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.delenv(claims.VARIABLE, raising=False)
    return tmp_path / "results/.state/brain"


def run(directory, host="here"):
    return Run(directory=str(directory), repair="FILES", host=host)


def start(state, run, *, running=False):
    claims.start([state], run, is_running=lambda directory: running)


def test_new_claim_replaces_the_old_one(state, tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    start(state, first)
    claims.check(state)
    start(state, second, running=True)
    assert claims.read(state) == second
    claims.check(state)
    assert [file.name for file in state.iterdir()] == ["run-2.json"]


def test_claim_with_the_highest_number_is_valid(state, tmp_path):
    state.mkdir(parents=True)
    for number in (9, 10, 8):
        text = json.dumps({"directory": f"/{number}", "repair": "", "host": "here", "name": ""})
        (state / f"run-{number}.json").write_text(text)
    assert claims.read(state).directory == "/10"
    start(state, run(tmp_path))
    assert [file.name for file in state.iterdir()] == ["run-11.json"]


def test_sample_of_an_active_run_cannot_be_claimed(state, tmp_path):
    start(state, run(tmp_path))
    with pytest.raises(ClaimError, match=f"sample brain: a run on here, started in {tmp_path}"):
        start(state, run(tmp_path / "other"), running=True)
    start(state, run(tmp_path / "other"), running=False)


def test_a_run_whose_process_goes_on_is_active_without_a_lock(state, tmp_path):
    """As with Snakemake's --nolock, or after --unlock."""
    with Program([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = {"machine": this_machine(), "process": (process.pid, start_of_process(process.pid))}
        goes_on = replace(run(tmp_path), **known)
        start(state, goes_on)
        start(state, goes_on)  # It uses the workflow as two modules.
        for directory in (tmp_path, tmp_path / "other"):
            with pytest.raises(ClaimError, match=f"started in {tmp_path}, is converting it"):
                start(state, run(directory))
        start(state.with_name("elsewhere"), replace(goes_on, machine="another machine"))
        start(state.with_name("elsewhere"), run(tmp_path / "other"))
    start(state, run(tmp_path / "other"))


def test_invisible_directory_on_another_machine_counts_as_active(state, tmp_path):
    start(state, run(tmp_path / "hidden", host="there"))
    with pytest.raises(ClaimError, match=r"delete .*run-1\.json"):
        start(state, run(tmp_path, host="here"))


@pytest.mark.parametrize("text", ["", '{"directory": "/a", ', "\0\0\0", "[]", "{}", '{"a": 1}'])
def test_damaged_claim_is_treated_as_missing(state, tmp_path, monkeypatch, caplog, text):
    monkeypatch.setattr(claims, "TIMEOUT", 0.05)
    start(state, run(tmp_path))
    (state / "run-1.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        start(state, run(tmp_path / "other"), running=True)
    (record,) = caplog.records
    assert f"{state / 'run-1.json'}: not a valid claim" in record.message
    assert claims.read(state).directory == str(tmp_path / "other")


def test_unfinished_claim_is_awaited(state, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "TIMEOUT", PATIENCE)
    start(state, run(tmp_path))
    whole = (state / "run-1.json").read_text()
    (state / "run-1.json").write_text("")
    monkeypatch.setattr(
        claims.time, "sleep", lambda seconds: (state / "run-1.json").write_text(whole)
    )
    with pytest.raises(ClaimError, match=f"started in {tmp_path}, is"):
        start(state, run(tmp_path / "other"), running=True)


def test_failed_claim_leaves_the_old_one(state, tmp_path, monkeypatch):
    first = run(tmp_path)
    start(state, first)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(claims.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        start(state, run(tmp_path))
    assert claims.read(state) == first


@pytest.mark.parametrize("before", [None, "ended"])
def test_one_of_two_simultaneous_claims_wins(tmp_path, monkeypatch, before):
    monkeypatch.setenv(claims.VARIABLE, "")
    rounds = 200
    if before is not None:
        (tmp_path / before).mkdir()
        states = [tmp_path / str(number) for number in range(rounds)]
        claims.start(states, run(tmp_path / before), is_running=bool)
    command = [sys.executable, "-c", RIVAL, tmp_path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        Program([*command, "a", str(rounds)], **pipes) as one,
        Program([*command, "b", str(rounds)], **pipes) as other,
    ):
        for number in range(rounds):
            rivals = (one, other) if number % 2 else (other, one)  # The first to know may win.
            for rival in rivals:
                assert rival.stdout.readline() == "ready\n"
            for rival in rivals:
                rival.stdin.write("\n")
                rival.stdin.flush()
        told = {"a": json.loads(one.communicate()[0]), "b": json.loads(other.communicate()[0])}
    for number, (first, second) in enumerate(zip(told["a"], told["b"], strict=True)):
        assert (first == "") != (second == ""), (number, first, second)
        winner = "a" if first == "" else "b"
        assert f"a run on host-{winner}, started in /runs/{winner}, is" in first + second
        assert claims.read(tmp_path / str(number)).directory == f"/runs/{winner}"
    assert {"" in said for said in told.values()} == {True}


def test_job_of_a_replaced_run_is_an_error(state, tmp_path, monkeypatch):
    start(state, run(tmp_path))
    monkeypatch.setenv(claims.VARIABLE, "another")
    with pytest.raises(ClaimError, match="another run has claimed this sample"):
        claims.check(state)


def test_job_without_a_run_is_allowed(state, tmp_path, monkeypatch):
    claims.check(state)
    start(state, run(tmp_path))
    monkeypatch.delenv(claims.VARIABLE)
    claims.check(state)
