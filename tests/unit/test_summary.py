"""What a run says at its end, and its warnings."""

import logging
import os

import pytest

from neurozarr.run import claims, summary
from neurozarr.run.joblog import logged_also
from neurozarr.run.notices import Notices
from neurozarr.run.paths import StorePaths
from neurozarr.run.summary import Task
from neurozarr.zarr.documents import write_json


def task(folder, name="a", *, shared=None, size=5_000_000):
    """A sample with a claim and a log."""
    paths = StorePaths(output=str(folder), sample=name, nii=True, zarr_version=3)
    run = claims.Run(directory=str(folder), repair="")
    claims.start([paths.state], run, is_running=lambda _: False)
    return Task(name=name, paths=paths, bytes=size, logs=(folder / f"{name}.log",), shared=shared)


@pytest.fixture(autouse=True)
def no_run(monkeypatch):
    """A claim names its run in the environment."""
    monkeypatch.setenv(claims.VARIABLE, "")


def write_log(path, text):
    path.write_text(text)
    return path


STAMP = "2026-01-02 03:04:05,678"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ""),
        (f"{STAMP} INFO done\n", ""),
        (f"{STAMP} INFO x\n{STAMP} ERROR first\n{STAMP} ERROR a.nii: cut\nb\n", "a.nii: cut"),
        (f"{STAMP} ERROR 'x'\nTraceback (most recent call last):\n  at\nKeyError: 'x'\n",
         "KeyError: 'x'"),
        ("Fatal Python error: Segmentation fault\n\nThread 0x1\n",
         "Fatal Python error: Segmentation fault"),
        (f"{STAMP} ERROR \n", "an error without a message"),
        (f"{STAMP} ERROR early\n{STAMP} INFO {'x' * summary.MAX_LOG}\n", ""),
        (f"{STAMP} INFO {'x' * summary.MAX_LOG}\n{STAMP} ERROR late\n", "late"),
    ],
    ids=["empty", "no error", "last", "bug", "crash", "no message", "too far up", "long"],
)  # fmt: skip
def test_last_error_of_a_log(tmp_path, text, error):
    assert summary.last_error(write_log(tmp_path / "log", text)) == error


def test_errors_are_found_as_jobs_log_them(tmp_path):
    for name, is_bug, error in (("bug", True, "ZeroDivisionError: by 0"), ("user", False, "by 0")):
        with logged_also(tmp_path / name):
            try:
                raise ZeroDivisionError("by 0")
            except ZeroDivisionError as raised:
                logging.getLogger("neurozarr").error("%s", raised, exc_info=is_bug)
        assert summary.last_error(tmp_path / name) == error


def test_failed_samples_are_named_with_reason_and_log(tmp_path):
    shared = tmp_path / "bundle.log"
    tasks = [task(tmp_path, name) for name in "abc"]
    tasks += [task(tmp_path, name, shared=shared) for name in "defg"]
    write_log(tmp_path / "a.log", f"{STAMP} ERROR a.nii: cut\n")
    write_log(tmp_path / "b.log", f"{STAMP} INFO b is half done\n")
    write_log(tmp_path / "d.log", f"{STAMP} INFO d is done\n")
    write_log(shared, f"{STAMP} INFO d is done\n")
    done = [False, False, False, True, False, False, False]
    text = summary.failure_text(tasks, done, again="snakemake -c1", notices=["careful"])
    assert text.splitlines() == [
        "",
        "warnings:",
        "  careful",
        "",
        "neurozarr: 5 of 7 samples failed",
        f"  sample a: a.nii: cut (more in {tmp_path}/a.log)",
        "  sample b: its job ended early: it was killed, or needed more memory or time than it had "
        f"(more in {tmp_path}/b.log)",
        "  sample e and 2 more: f, g: its job ended early: it was killed, or needed more memory or "
        f"time than it had (more in {shared})",
        "1 of 7 samples is converted all the same, 1 is not finished",
        "to go on, when the reasons are removed (it does only what is missing): snakemake -c1",
    ]


def test_counts_of_none_are_left_out(tmp_path):
    one = task(tmp_path)
    write_log(tmp_path / "a.log", f"{STAMP} ERROR a.nii: cut\n")
    text = summary.failure_text([one], [False], again="again", notices=[])
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["neurozarr:", "sample", "to"]


def test_errors_of_earlier_runs_are_not_told(tmp_path):
    one = task(tmp_path)
    log = write_log(tmp_path / "a.log", f"{STAMP} ERROR a.nii: cut\n")
    assert summary.failure(one) == ("a.nii: cut", log)
    before = claims.started(one.paths.state) - 10
    os.utime(log, (before, before))
    assert summary.failure(one) is None
    assert "1 is not finished" in summary.failure_text([one], [False], again="", notices=[])


def converted(one):
    """Receipts as of a store of two levels that took four seconds."""
    for level, size in ((0, 2_000_000), (1, 500_000)):
        write_json(one.paths.level(level).block_receipt(0), {"bytes": size})
    write_json(one.paths.level(0).array_receipt, {})
    write_json(one.paths.verify_receipt, {})
    for mark in one.paths.marks:
        write_json(mark, {})
    start = claims.started(one.paths.state)
    os.utime(one.paths.level(0).array_receipt, (start + 1, start + 1))
    os.utime(one.paths.verify_receipt, (start + 5, start + 5))
    return one


def test_stores_are_listed(tmp_path):
    tasks = [converted(task(tmp_path, "a")), converted(task(tmp_path, "b", size=0))]
    commands = {"to export": "snakemake export"}
    text = summary.success_text(
        tasks, output=str(tmp_path), seconds=7.4, commands=commands, notices=[]
    )
    _, head, _, first, second, look, export = text.splitlines()
    assert head == "neurozarr: 2 stores in 7 s"
    assert first.split() == [f"{tmp_path}/a.nii.zarr", "2", "5.0", "2.5", "4.0"]
    assert second.split()[2] == "-"
    assert look.endswith(f"neurozarr view {tmp_path}/a.nii.zarr")
    assert export.endswith("snakemake export")


def test_the_size_of_a_small_store_is_not_zero(tmp_path):
    one = converted(task(tmp_path, "a", size=30_000))
    for level, size in ((0, 2_000), (1, 400)):
        write_json(one.paths.level(level).block_receipt(0), {"bytes": size})
    text = summary.success_text([one], output="out", seconds=7, commands={}, notices=[])
    assert text.splitlines()[3].split()[2:4] == ["0.03", "0.0024"]


def test_of_many_stores_there_is_one_line(tmp_path):
    one = converted(task(tmp_path))
    text = summary.success_text([one] * 21, output="out", seconds=60, commands={}, notices=[])
    assert text.splitlines()[1:] == [
        "neurozarr: 21 stores in out: 42 levels, 105.0 MB in, 52.5 MB out, 60 s",
        f"to look at it:       neurozarr view {one.paths.store}",
    ]


def test_stores_that_are_not_published_are_not_listed(tmp_path):
    """As after a run that was asked for some steps only."""
    done, begun = converted(task(tmp_path, "a")), converted(task(tmp_path, "b"))
    begun.paths.group[0].unlink()
    text = summary.success_text([done, begun], output="out", seconds=1, commands={}, notices=[])
    assert "1 of 2 samples are not finished" in text
    assert "1 store in 1 s" in text
    assert str(begun.paths.store) not in text
    done.paths.group[0].unlink()
    text = summary.success_text([done], output="out", seconds=1, commands={}, notices=[])
    assert "1 of 1 samples are not finished" in text
    assert "neurozarr view" not in text


def test_each_kind_of_warning_is_shown_once():
    shown = []
    notices = Notices(shown.append)
    logger = logging.getLogger("neurozarr.test")
    logger.addHandler(notices)
    try:
        for number in range(8):
            logger.warning("%s: the unit of %s is unknown", f"{number}.nii", "space")
            logger.warning("%s: the unit of %s is unknown", f"{number}.nii", "time")
            logger.info("%s: read", number)
        logger.warning("%s", "a is damaged")
        logger.warning("%s", "b is damaged")
    finally:
        logger.removeHandler(notices)
    kinds = [f"0.nii: the unit of {kind} is unknown" for kind in ("space", "time")]
    lines = [f"{kind} (and 7 more: 1.nii, 2.nii, 3.nii, 4.nii, 5.nii, …)" for kind in kinds]
    assert shown == [*kinds, "a is damaged", "b is damaged"]
    assert notices.repeated() == lines
    assert notices.all() == [*lines, "a is damaged", "b is damaged"]
