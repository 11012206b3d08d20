"""How far samples are, from what runs leave on the disk."""

import cProfile
import json
import os
import pstats
import shutil
import threading
import time
from dataclasses import replace

import pytest

import neurozarr
from neurozarr import commands, status
from neurozarr.run import claims, records
from neurozarr.run.records import PlannedLevel, PlannedSample, RunRecord
from neurozarr.run.status import read
from neurozarr.run.status_text import text

#: One block of 1 MB, but for the last of level 0, which is half as large.
LEVELS = (
    PlannedLevel(number=0, shape=(7, 500, 500), block=(2, 500, 500), todo=((0, 3),)),
    PlannedLevel(number=1, shape=(3, 250, 250), block=(4, 500, 500), todo=((0, 0),)),
)
PLANNED = PlannedSample(bytes_per_voxel=2, levels=LEVELS, ends=("verify.json",))
KINDS = {"nii": True, "zarr_version": 3}


class Run:
    """A run that has begun 100 s ago and does what a test says."""

    def __init__(self, folder, samples, **given):
        self.output = str(folder / "out")
        self.record = RunRecord(
            directory=str(folder), logs=str(folder / "logs"), samples=samples, **KINDS, **given
        )
        states = [self.record.paths(name, self.output).state for name in samples]
        claim = claims.Run(directory=str(folder), repair="")
        claims.start(states, claim, is_running=lambda directory: False)
        began = records.start(self.output, self.record)
        self.pulse = records.Pulse(self.output, self.record, began)
        self.began = time.time() - 100
        for file in (folder / "out/.state").rglob("*.json"):
            if not file.name.endswith("-now.json"):
                os.utime(file, (self.began, self.began))

    def write(self, sample, file, document="{}", *, after=90):
        """Write a file beside the receipts of a sample, some seconds after the run has begun."""
        path = self.record.paths(sample, self.output).state / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document)
        for changed in (path, path.parent):
            os.utime(changed, (self.began + after, self.began + after))

    def log(self, folder, sample, line):
        path = folder / "logs" / sample / "convert.log"
        path.parent.mkdir(parents=True)
        path.write_text(f"2026-01-02 03:04:05,678 {line}\n")


@pytest.fixture(autouse=True)
def no_run(monkeypatch):
    """A claim names its run in the environment."""
    monkeypatch.setenv(claims.VARIABLE, "")


def states(run):
    return {sample.name: sample.state for sample in read(run.output).samples}


def test_a_sample_of_many_blocks(tmp_path):
    run = Run(tmp_path, {"a": PLANNED})
    assert states(run) == {"a": "waiting"}
    run.write("a", "0/array.json", after=0)
    run.write("a", "0/block-0.json", after=10)
    run.write("a", "0/block-3.json", after=20)
    run.write("a", "0/partial-1.json", json.dumps({"bytes": 250_000}))
    before = time.time()
    (found,) = read(run.output).samples
    after = time.time()
    assert found.state == "running"
    assert found.progress.levels == ((2, 4), (0, 1))
    assert found.progress.megabytes == 1.75
    assert found.progress.total == 3.875
    slowest, fastest = 1.75 / (after - run.began), 1.75 / (before - run.began)
    assert slowest * (1 - 1e-6) <= found.speed <= fastest * (1 + 1e-6)
    assert found.seconds_left == pytest.approx(2.125 / found.speed)
    lines = text(read(run.output), run.output).splitlines()
    assert "is in progress" in lines[0]
    assert lines[2].startswith("a       in progress  level 0: 2 of 4 blocks  0 of 2  ")
    assert lines[3].startswith("1 sample: 1 in progress; 1.8 of 3.9 MB of voxels; 0.0 MB/s; ")
    assert lines[3].endswith("2 min left")


def test_blocks_of_earlier_runs_count_unless_they_are_written_again(tmp_path):
    levels = (PlannedLevel(number=0, shape=(4, 10), block=(1, 10), todo=((2, 3),)),)
    planned = PlannedSample(bytes_per_voxel=1, levels=levels, ends=("verify.json",))
    run = Run(tmp_path, {"a": planned})
    for block in range(4):
        run.write("a", f"0/block-{block}.json", after=-50)
    run.write("a", "verify.json", after=-50)
    (found,) = read(run.output).samples
    assert (found.state, found.progress.levels, found.speed) == ("waiting", ((2, 4),), 0)
    run.write("a", "0/block-2.json")
    (found,) = read(run.output).samples
    assert (found.state, found.progress.levels) == ("running", ((3, 4),))


def test_each_state(tmp_path):
    nothing = PlannedSample(bytes_per_voxel=2, levels=(), ends=())
    unknown = PlannedSample(bytes_per_voxel=0, levels=(), ends=("verify.json",))
    names = ("begun", "waits", "done", "bad", "killed", "retried")
    run = Run(tmp_path, dict.fromkeys(names, PLANNED) | {"before": nothing, "dicom": unknown})
    run.write("begun", "0/array.json")
    run.write("dicom", "0/array.json")
    run.write("done", "verify.json")
    run.write("before", "header.json", after=-1000)
    run.log(tmp_path, "bad", "ERROR bad.nii: cut short")
    run.log(tmp_path, "killed", "INFO begun")
    run.log(tmp_path, "retried", "INFO begun")
    run.write("retried", "0/array.json")
    for name in ("killed", "retried"):
        run.pulse.failed(f"logs/{name}/convert.log", [name])
    run.pulse.started("logs/retried/convert.log")
    run.pulse.beat()
    assert states(run) == {
        "begun": "running",
        "dicom": "running",
        "waits": "waiting",
        "done": "done",
        "before": "done",
        "bad": "failed",
        "killed": "failed",
        "retried": "running",
    }
    said = text(read(run.output), run.output)
    assert f"\nbad: bad.nii: cut short (more in {tmp_path}/logs/bad/convert.log)\n" in said
    assert "\nkilled: its job ended early: it was killed, or needed more memory" in said
    run.pulse.end("badly")
    assert states(run) == states(run) | {"begun": "unfinished", "waits": "unfinished"}
    assert "has ended with errors" in text(read(run.output), run.output)


def test_a_sample_is_not_done_if_only_some_steps_were_asked_for(tmp_path):
    """As by --until, which leaves out the steps that write its last receipts."""
    run = Run(tmp_path, {"a": replace(PLANNED, ends=())})
    for file in ("0/array.json", *(f"0/block-{block}.json" for block in range(4))):
        run.write("a", file)
    run.write("a", "1/block-0.json")
    assert states(run) == {"a": "running"}
    run.pulse.end("well")
    assert states(run) == {"a": "unfinished"}
    assert status.exit_status(read(run.output)) == 1
    run.write("a", "header.json")
    assert states(run) == {"a": "done"}


def test_a_killed_run_leaves_its_samples_interrupted(tmp_path):
    run = Run(tmp_path, {"a": PLANNED, "b": PLANNED}, process=(os.getpid(), "1"))
    run.write("a", "verify.json")
    run.write("b", "0/block-0.json")
    found = read(run.output)
    assert {sample.name: sample.state for sample in found.samples} == {
        "a": "done",
        "b": "interrupted",
    }
    assert (found.speed, found.seconds_left) == (0, 0)
    assert "does not exist any more: run again" in text(found, run.output)
    assert status.exit_status(found) == 1


def test_the_last_run_of_a_sample_counts(tmp_path):
    Run(tmp_path, {"a": PLANNED, "b": PLANNED}, process=(os.getpid(), "1"))
    time.sleep(0.01)
    new = Run(tmp_path, {"b": PLANNED})
    os.utime(tmp_path / f"out/.state/runs/{new.record.name}.json")
    assert states(new) == {"a": "interrupted", "b": "waiting"}


def test_stores_without_a_record_are_listed(tmp_path, mri):
    neurozarr.convert(mri / "anatomical.nii", tmp_path / "out", zarr={"chunk": 16})
    (found,) = read(str(tmp_path / "out")).samples
    assert (found.name, found.state) == ("anatomical", "done")
    ome = tmp_path / "out/.state/anatomical.nii.zarr/ome.json"
    ome.unlink()
    assert [sample.state for sample in read(str(tmp_path / "out")).samples] == ["waiting"]
    for file in ome.parent.iterdir():
        os.utime(file, (5, 5))
    (found,) = read(str(tmp_path / "out")).samples
    assert found.state == "unfinished"


def with_many_samples(folder, count):
    """A run of samples of which three eighths are done, and one has failed."""
    names = [f"s{number:04}" for number in range(count)]
    run = Run(folder, dict.fromkeys(names, PLANNED))
    for name in names[: count * 3 // 8]:
        run.write(name, "verify.json")
    run.log(folder, names[count * 3 // 4], "ERROR s0300.nii: cut short")
    return run


def calls(function):
    """Number of functions that are called by one, which tells its work on any machine."""
    profile = cProfile.Profile()
    profile.runcall(function)
    return pstats.Stats(profile).total_calls


def test_four_times_as_many_samples_are_four_times_the_work(tmp_path):
    few, many = (with_many_samples(tmp_path / str(count), count) for count in (100, 400))
    counts = [calls(lambda run=run: text(read(run.output), run.output)) for run in (few, many)]
    assert 3 < counts[1] / counts[0] < 5


def test_many_samples_are_counted(tmp_path):
    run = with_many_samples(tmp_path, 400)
    lines = text(read(run.output), run.output).splitlines()
    assert lines[2].split()[:2] == ["s0300", "failed"]
    assert lines[-3] == "… and 370 more, which --all lists"
    assert lines[-1].startswith("400 samples: 1 failed, 249 waiting, 150 done; 581.2 of 1550.0")
    assert len(lines) < 40
    assert len(text(read(run.output), run.output, everything=True).splitlines()) > 400


def test_files_may_appear_and_vanish_at_any_moment(tmp_path):
    run = Run(tmp_path, {"a": PLANNED, "b/labels/c": PLANNED})
    names = [f"{run.record.name}{end}.json" for end in ("", "-now")]
    told = {name: (tmp_path / "out/.state/runs" / name).read_bytes() for name in names}
    ended = threading.Event()

    def churn():
        while not ended.is_set():
            for name in run.record.samples:
                for file in ("0/block-0.json", "0/partial-1.json", "0/x.tmp", "verify.json"):
                    run.write(name, file)
            shutil.rmtree(tmp_path / "out/.state")
            for name, content in told.items():
                path = tmp_path / "out/.state/runs" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    other = threading.Thread(target=churn)
    other.start()
    try:
        found = [tuple(states(run).items()) for _ in range(1000)]
    finally:
        ended.set()
        other.join()
    assert len(set(found)) > 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["out"], 3, "in progress"),
        (["out", "--all", "--watch", "0.1"], 1, "bad: bad.nii"),
        (["missing"], 2, "missing: it does not exist"),
        (["."], 2, ".: no run has written to it; give the directory that was the output"),
        (["config/config.yaml"], 2, "config.yaml: no run has written to it; give the directory"),
        (["--watch", "0"], 2, "give 0.1 to 86400 seconds"),
        ([], 3, "out: run on"),
    ],
)
def test_the_command_prints_it_and_its_exit_status_says_it(
    tmp_path, monkeypatch, capsys, words, code, said
):
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path, {"bad": PLANNED})
    run.write("bad", "0/array.json")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("output: ./out/\nsource: a.nii\n")
    if code == 1:
        run.log(tmp_path, "bad", "ERROR bad.nii: cut short")
        run.pulse.end("badly")
    with pytest.raises(SystemExit) as error:
        commands.main(["status", *words])
    assert error.value.code == code
    found = capsys.readouterr()
    assert said in found.out + found.err
