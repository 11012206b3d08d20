"""Time and memory of steps, as the report of a sample shows them."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from neurozarr.run import benchmarks
from neurozarr.run.benchmarks import Measured, Stopwatch

#: A file of Snakemake 9.27.
SNAKEMAKE = (
    "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    "1.58\t0:00:01\t{memory}\t286.15\t62.94\t70.21\t0.19\t0.63\t32.36\t0.64\n"
)


def test_files_of_snakemake_are_read_by_their_names(tmp_path):
    for name, memory in (
        ("write_base_12", "78.06"),
        ("pyramid_level_3_4", "NA"),
        ("create_array_0", "5"),
        ("verify_store", "6"),
        ("thumbnail", "7"),
    ):
        (tmp_path / f"{name}.tsv").write_text(SNAKEMAKE.format(memory=memory))
    (tmp_path / "ome_metadata.tsv").write_text("damaged")
    expected = [
        Measured(step="create_array", level=0, seconds=1.58, megabytes=5),
        Measured(step="pyramid_level", level=3, block=4, seconds=1.58, megabytes=None),
        Measured(step="verify_store", seconds=1.58, megabytes=6),
        Measured(step="write_base", block=12, seconds=1.58, megabytes=78.06),
    ]
    assert benchmarks.read(tmp_path) == expected
    assert benchmarks.read(tmp_path / "none") == []


def test_steps_of_one_process_are_measured_one_by_one(tmp_path):
    watch = Stopwatch()
    with watch.step("write_base", 0, 0):
        np.ones(2**26, "u1").sum()
        time.sleep(0.05)
    with watch.step("verify_store"):
        pass
    watch.write(tmp_path)
    first, second = benchmarks.read(tmp_path)
    assert (first.step, first.level, first.block) == ("write_base", 0, 0)
    assert first.seconds > 0.05
    # The memory of the first step is not that of the second.
    assert first.megabytes - second.megabytes > 50
    again = Stopwatch()
    with again.step("verify_store"):
        time.sleep(second.seconds + 0.01)
    again.write(tmp_path)
    kept, changed = benchmarks.read(tmp_path)
    assert kept == first
    assert changed.seconds > second.seconds


def test_only_the_later_conversion_is_read(tmp_path):
    watch = Stopwatch()
    with watch.step("verify_store"):
        pass
    (tmp_path / "write_base_0.tsv").write_text(SNAKEMAKE.format(memory="1"))
    watch.write(tmp_path)
    assert [each.step for each in benchmarks.read(tmp_path)] == ["verify_store"]
    later = time.time() + 5
    os.utime(tmp_path / "write_base_0.tsv", (later, later))
    assert [each.step for each in benchmarks.read(tmp_path)] == ["write_base"]


@pytest.mark.parametrize("before", ["", "a/logs/b/"])
def test_benchmarks_are_beside_the_logs(before):
    log = Path(f"{before}logs/logs/labels/x/convert.log")
    expected = Path(f"{before}benchmarks/logs/labels/x")
    assert benchmarks.folder_of(log, "logs/labels/x") == expected
