"""Records of runs, which tell others what they have to do and whether they go on."""

import json
import math
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.plan import plan_levels
from neurozarr.run import records
from neurozarr.run.processes import start_of_process
from neurozarr.run.records import Now, PlannedLevel, PlannedSample, RunRecord
from neurozarr.zarr.config import ZarrConfig

from ..programs import Program

#: A process that writes a record and waits for the end of its input.
RUN = """
import sys
from neurozarr.run import records
record = records.RunRecord(directory="/", logs="/", nii=True, zarr_version=3, samples={})
records.start(sys.argv[1], record)
print(record.name, flush=True)
sys.stdin.read()
"""


def sample(*todo, ends=("verify.json",)):
    level = PlannedLevel(number=0, shape=(5, 40, 40), block=(5, 16, 40), todo=todo)
    return PlannedSample(bytes_per_voxel=2, levels=(level,), ends=ends)


def record(*names, **others):
    samples = {name: sample((0, 2)) for name in names}
    given = {"directory": "/a", "logs": "/a/logs", "nii": True, "zarr_version": 3}
    return RunRecord(**{"samples": samples} | given | others)


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 20)), min_size=1, max_size=3),
    st.floats(0.001, 0.1),
)
def test_blocks_have_the_sizes_of_the_plan(sides, block_mb):
    shape, chunk = zip(*sides, strict=True)
    planned = plan_levels(
        shape, "uint16", "zyx"[-len(shape) :], ZarrConfig(chunk=chunk), block_mb=block_mb
    )
    for level in planned:
        known = PlannedLevel(number=0, shape=level.shape, block=level.block, todo=())
        assert known.blocks == level.blocks
        for block in range(level.blocks):
            sides = level.region(block)
            assert known.voxels(block) == math.prod(side.stop - side.start for side in sides)


@given(st.sets(st.integers(0, 60)))
def test_blocks_to_do_are_said_as_consecutive_ones(numbers):
    found = records.consecutive(numbers)
    level = PlannedLevel(number=0, shape=(1,), block=(1,), todo=found)
    assert {number for number in range(-1, 62) if level.is_todo(number)} == numbers
    assert len(found) == sum(number - 1 not in numbers for number in numbers)


def test_what_was_written_is_read(tmp_path):
    written = record("a", "b/labels/c")
    began = records.start(str(tmp_path), written)
    (found,) = records.find(str(tmp_path))
    assert (found.record, found.began, found.state) == (written, began, "active")
    for how in "well", "badly":
        pulse = records.Pulse(str(tmp_path), written, began)
        pulse.failed("a.log", ["a"])
        pulse.failed("b.log", ["b", "c"])
        pulse.started("a.log")
        pulse.end(how)
        (found,) = records.find(str(tmp_path))
        assert found.state == how
        assert found.now == Now(ended=how, failed={"b.log": ["b", "c"]})


def test_samples_that_are_planned_later_do_not_make_it_younger(tmp_path):
    written = record("a", "late")
    began = records.start(str(tmp_path), written)
    pulse = records.Pulse(str(tmp_path), written, began)
    pulse.plan({"late": sample((0, 0)), "new": sample()})
    time.sleep(0.01)
    pulse.beat()
    (found,) = records.find(str(tmp_path))
    assert found.began == began
    assert found.record.samples == {
        "a": sample((0, 2)),
        "late": sample((0, 0)),
        "new": sample(),
    }


def test_a_killed_run_is_gone_at_once(tmp_path):
    command = [sys.executable, "-c", RUN, tmp_path]
    with Program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdout.readline()
        assert [found.state for found in records.find(str(tmp_path))] == ["active"]
        run.kill()
        run.wait()
        assert [found.state for found in records.find(str(tmp_path))] == ["gone"]


def test_a_run_on_another_machine_goes_on_while_it_says_so(tmp_path):
    records.start(str(tmp_path), record("a", machine="another"))
    (file,) = (tmp_path / ".state/runs").glob("*-now.json")
    for age, state in ((0, "active"), (records.LOST / 2, "active"), (records.LOST + 1, "gone")):
        when = file.stat().st_ctime - age
        os.utime(file, (when, when))
        assert [found.state for found in records.find(str(tmp_path))] == [state]


def test_another_process_with_its_number_is_not_the_run(tmp_path):
    _, ticks = record().process
    assert ticks == start_of_process(os.getpid())
    records.start(str(tmp_path), record("a", process=(os.getpid(), f"{ticks}1")))
    assert [found.state for found in records.find(str(tmp_path))] == ["gone"]


def test_records_that_tell_nothing_more_are_deleted(tmp_path):
    output, ended = str(tmp_path), {"process": (os.getpid(), "1")}
    old, other, active = record("a", **ended), record("a", "x", **ended), record("b")
    for written in (old, other, active):
        records.start(output, written)
    left = tmp_path / ".state/bundle-0-2-abc.partial.json"
    left.touch()
    os.utime(left, (5, 5))
    new = record("a", "b")
    records.start(output, new)
    assert {found.record.name for found in records.find(output)} == {
        other.name,
        active.name,
        new.name,
    }
    assert len(os.listdir(tmp_path / ".state/runs")) == 6
    assert not left.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda known: "",
        lambda known: "\0" * 30,
        lambda known: "[]",
        lambda known: json.dumps({"samples": {}}),
        lambda known: json.dumps(known | {"samples": {"a": 1}}),
        lambda known: json.dumps(known | {"process": 5}),
    ],
)
def test_a_damaged_record_is_left_out(tmp_path, caplog, change):
    damaged, whole = record("a"), record("b")
    for written in (damaged, whole):
        records.start(str(tmp_path), written)
    file = tmp_path / f".state/runs/{damaged.name}.json"
    file.write_text(change(json.loads(file.read_text())))
    assert [found.record for found in records.find(str(tmp_path))] == [whole]
    assert f"{file}: not a record that this version knows" in caplog.text


def test_entries_of_later_versions_are_ignored(tmp_path):
    written = record("a")
    records.start(str(tmp_path), written)
    file = tmp_path / f".state/runs/{written.name}.json"
    known = json.loads(file.read_text()) | {"format": 2, "colour": "green"}
    known["samples"]["a"]["levels"][0]["weight"] = 3
    file.write_text(json.dumps(known))
    assert [found.record for found in records.find(str(tmp_path))] == [written]


def test_there_may_be_no_records(tmp_path):
    assert records.find(str(tmp_path)) == []
    (tmp_path / ".state").write_text("not a directory")
    assert records.find(str(tmp_path)) == []
