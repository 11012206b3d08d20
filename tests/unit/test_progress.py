"""Lines that tell how far a run is."""

from neurozarr.run.progress import Job, Progress


def follow(jobs, *, seconds):
    """The lines of jobs that run one after the other and take the same time."""
    now = 0.0
    progress = Progress(dict(enumerate(jobs)), clock=lambda: now)
    lines = []
    for number in range(len(jobs)):
        progress.started(number)
        now += seconds
        lines.append(progress.finished(number))
    return [line for line in lines if line]


def test_one_line_for_each_step_with_sizes_speed_and_time_left():
    jobs = [Job(""), *[Job("a: level 0", 40)] * 3, Job("a: level 1", 30), Job("a: verified")]
    assert follow(jobs, seconds=2) == [
        "a: level 0: 3 of 3 jobs; 120.0 MB of voxels, 20.0 MB/s; run: 4 of 6 jobs, 2 s left",
        "a: level 1: 30.0 MB of voxels, 15.0 MB/s; run: 5 of 6 jobs",
        "a: verified: run: 6 of 6 jobs",
    ]


def test_a_long_step_is_told_now_and_then():
    lines = follow([Job("a: level 0", 10)] * 100, seconds=3)
    assert len(lines) == 25
    assert lines[0] == (
        "a: level 0: 4 of 100 jobs; 40.0 MB of voxels, 3.3 MB/s; run: 4 of 100 jobs, 5 min left"
    )
    assert lines[-1].endswith("100 of 100 jobs")


def test_unknown_jobs_are_not_told():
    progress = Progress({})
    progress.started(1)
    assert progress.finished(1) == ""
