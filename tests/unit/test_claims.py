import pytest

from neurozarr import claims
from neurozarr.claims import Run
from neurozarr.errors import ClaimError


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv(claims.VARIABLE, raising=False)
    return tmp_path / "results/.state/brain/run.json"


def run(directory, host="here"):
    return Run(directory=str(directory), repair="FILES", host=host)


def start(file, run, *, running=False):
    claims.start([file], run, is_running=lambda directory: running)


def test_a_claim_is_that_of_the_last_run(file, tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    start(file, first)
    claims.check(file)
    start(file, second, running=True)
    assert claims.read(file) == second
    claims.check(file)


def test_a_run_of_another_directory_is_refused_while_the_first_goes_on(file, tmp_path):
    start(file, run(tmp_path))
    with pytest.raises(ClaimError, match=f"sample brain: a run on here, started in {tmp_path}"):
        start(file, run(tmp_path / "other"), running=True)
    start(file, run(tmp_path / "other"), running=False)


def test_of_a_directory_on_another_machine_that_is_not_to_be_seen_nobody_can_say(file, tmp_path):
    start(file, run(tmp_path / "hidden", host="there"))
    with pytest.raises(ClaimError, match=r"delete .*run\.json"):
        start(file, run(tmp_path, host="here"))


def test_a_claim_that_was_not_written_to_its_end_is_none(file, tmp_path):
    file.parent.mkdir(parents=True)
    file.touch()
    assert claims.read(file) is None
    start(file, run(tmp_path), running=True)


def test_a_job_of_a_run_that_was_replaced_is_refused(file, tmp_path, monkeypatch):
    start(file, run(tmp_path))
    monkeypatch.setenv(claims.VARIABLE, "another")
    with pytest.raises(ClaimError, match="another run has taken it over"):
        claims.check(file)


def test_a_job_without_a_run_is_not_refused(file, tmp_path, monkeypatch):
    claims.check(file)
    start(file, run(tmp_path))
    monkeypatch.delenv(claims.VARIABLE)
    claims.check(file)
