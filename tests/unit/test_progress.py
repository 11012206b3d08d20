"""Lines that tell how far a run is."""

from hypothesis import given
from hypothesis import strategies as st

from neurozarr.run.progress import Job, Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def follow(jobs, *, seconds, parts=1):
    """The lines of jobs that run one after the other, take the same time and are looked at."""
    clock = Clock()
    progress = Progress(dict(enumerate(jobs)), clock=clock)
    lines = []
    for number, job in enumerate(jobs):
        progress.started(number)
        for part in range(1, parts + 1):
            clock.now += seconds / parts
            progress.wrote(number, job.megabytes * part / parts)
            lines += progress.due()
        lines.append(progress.finished(number))
    return [line for line in lines if line]


def test_one_line_for_each_step_with_sizes_speed_and_time_left():
    jobs = [Job(""), *[Job("a: level 0", 40)] * 3, Job("a: level 1", 30), Job("a: verified")]
    assert follow(jobs, seconds=2) == [
        "a: level 0: 3 of 3 jobs; 120.0 MB of voxels, 20.0 MB/s; run: 4 of 6 jobs, 2 s left",
        "a: level 1: 30.0 MB of voxels, 15.0 MB/s; run: 5 of 6 jobs",
        "a: verified: run: 6 of 6 jobs",
    ]


def test_a_step_of_hundreds_of_jobs_takes_few_lines():
    lines = follow([Job("a: level 0", 10)] * 500, seconds=3)
    assert len(lines) == 10
    assert lines[0] == (
        "a: level 0: 49 of 500 jobs; 500.0 of 5000.0 MB of voxels, 3.3 MB/s; run: 49 of 500 jobs, "
        "22 min left"
    )
    assert (
        lines[-1]
        == "a: level 0: 500 of 500 jobs; 5000.0 MB of voxels, 3.3 MB/s; run: 500 of 500 jobs"
    )


def test_a_low_speed_is_not_told_as_none():
    assert follow([Job("a: level 0", 0.07)], seconds=2) == [
        "a: level 0: 0.1 MB of voxels, 0.035 MB/s; run: 1 of 1 jobs"
    ]


def test_one_long_job_is_told_too():
    lines = follow([Job("a: level 0", 36_000)], seconds=36_000, parts=3600)
    assert len(lines) == 61
    assert lines[0] == (
        "a: level 0: 600.0 of 36000.0 MB of voxels, 1.0 MB/s; run: 0 of 1 jobs, 10 h left"
    )


def test_a_short_run_takes_a_line_a_step():
    assert len(follow([Job("a: level 0", 10)] * 100, seconds=0.2, parts=4)) == 1


def test_a_terminal_shows_what_is_running():
    clock = Clock()
    jobs = {1: Job("a: level 0", 100), 2: Job("b: level 0", 300), 3: Job("a: verified"), 4: Job("")}
    progress = Progress(jobs, clock=clock)
    assert progress.now() == "0 of 4 jobs, 0.0 of 400.0 MB"
    for number in (1, 2, 4):
        progress.started(number)
    clock.now = 10
    progress.wrote(1, 50)
    progress.wrote(2, 30)
    assert progress.now() == (
        "0 of 4 jobs, 80.0 of 400.0 MB, 8.0 MB/s, 40 s left; a: level 0 (50%), b: level 0 (10%)"
    )


def test_unknown_jobs_are_not_told():
    progress = Progress({})
    progress.started(1)
    progress.wrote(1, 5)
    progress.stopped(1)
    assert progress.finished(1) == ""
    assert progress.due() == []
    assert progress.now() == "0 of 0 jobs"


EVENT = st.tuples(
    st.sampled_from(["started", "stopped", "wrote", "finished", "due", "now"]),
    st.integers(0, 4),
    st.floats(-100, 1000),
)


@given(st.lists(EVENT, max_size=60))
def test_any_order_of_events_and_times_is_told(events):
    clock = Clock()
    jobs = {0: Job("a", 5), 1: Job("a", 7), 2: Job("b"), 3: Job("", 1)}
    progress = Progress(jobs, clock=clock)
    ended = set()
    for what, number, value in events:
        clock.now += value
        if what in ("due", "now"):
            assert "nan" not in str(getattr(progress, what)())
        elif number in ended:
            continue
        elif what == "wrote":
            progress.wrote(number, value)
        else:
            getattr(progress, what)(number)
            ended |= {number} if what == "finished" else set()
    for number in jobs.keys() - ended:
        progress.finished(number)
    assert progress.now().startswith("4 of 4 jobs, 13.0 of 13.0 MB")
    assert "left" not in progress.now()
    assert progress.running == []
