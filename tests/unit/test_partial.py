"""The file in which a job tells how much it has written."""

import json
import os
import threading

import pytest

from neurozarr.errors import ClaimError
from neurozarr.run import partial
from neurozarr.run.partial import Partial
from neurozarr.run.paths import StorePaths


@pytest.fixture
def level(tmp_path):
    paths = StorePaths(output=str(tmp_path), sample="a", nii=True, zarr_version=3)
    paths.level(0).state.mkdir(parents=True)
    return paths.level(0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_it_is_told_every_few_seconds_and_deleted_at_the_end(level):
    clock, file = Clock(), level.partial(3)
    with Partial(file, clock=clock) as count:
        count.add(5)
        assert not file.exists()
        clock.now = partial.INTERVAL
        count.add(7)
        assert partial.bytes_of_block(level, 3, 100, since=0) == 12
        clock.now += 0.1
        count.add(20)
        assert partial.bytes_of_block(level, 3, 100, since=0) == 12
    assert list(level.state.iterdir()) == []


def test_a_bundle_counts_what_its_blocks_do(level):
    with Partial(level.partial("bundle")) as bundle:
        for _ in range(2):
            with Partial(level.partial(0), bundle) as block:
                threads = [threading.Thread(target=block.add, args=[3]) for _ in range(50)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        bundle._tell()
        assert partial.bytes_in(level.partial("bundle"), since=0) == 300


def test_a_job_that_must_end_is_stopped(level):
    clock, reasons = Clock(), []

    def check():
        if reasons:
            raise ClaimError(reasons[0])

    with Partial(level.partial(0), check=check, clock=clock) as count:
        count.add(1)
        clock.now = partial.INTERVAL
        count.add(1)
        reasons.append("another run has claimed this sample")
        count.add(1)  # It is not asked each time.
        clock.now = 2 * partial.INTERVAL
        with pytest.raises(ClaimError, match="another run"):
            count.add(1)


def test_a_disk_that_is_full_stops_nothing(level, caplog):
    clock = Clock()
    with Partial(level.state / "missing" / "x.json", clock=clock) as count:
        clock.now = partial.INTERVAL
        count.add(1)
    assert "x.json: cannot be written (No such file or directory)" in caplog.text


@pytest.mark.parametrize("text", ["", "{}", '{"bytes": null}', "[]", '{"bytes": -3}', "\0"])
def test_a_damaged_file_counts_for_nothing(level, text):
    level.partial(0).write_text(text)
    assert partial.bytes_in(level.partial(0), since=0) == 0


def test_what_an_older_run_left_counts_for_nothing(level):
    level.partial(0).write_text(json.dumps({"bytes": 9}))
    os.utime(level.partial(0), (50, 50))
    assert partial.bytes_of_block(level, 0, 10, since=100) == 0
    level.block_receipt(0).write_text("{}")
    os.utime(level.block_receipt(0), (50, 50))
    assert partial.bytes_of_block(level, 0, 10, since=100) == 0
    os.utime(level.block_receipt(0), (100, 100))
    assert partial.bytes_of_block(level, 0, 10, since=100) == 10
