"""Speed and time left."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.run import pace

TIMES = st.floats(-1e10, 1e10)
SIZES = st.floats(0, 1e12)
WRITTEN = st.lists(st.tuples(TIMES, SIZES), max_size=30)


@given(WRITTEN, TIMES, TIMES)
def test_speed_is_a_number_whatever_clocks_say(written, since, now):
    speed = pace.speed(written, since=since, now=now)
    assert 0 <= speed <= sum(size for _, size in written) * (1 + 1e-9)
    assert pace.speed(written[::-1], since=since, now=now) == pytest.approx(speed)


@given(st.floats(0.01, 1e6), st.integers(1, 400), st.floats(0.05, 500))
def test_steady_speed_is_found(speed, count, step):
    written = [(number * step, speed * step) for number in range(1, count + 1)]
    found = pace.speed(written, since=0, now=count * step)
    assert found == pytest.approx(speed * min(1, count * step), rel=1.01 / pace.EVENTS)


def test_speed_is_that_of_the_last_minutes():
    slow = [(second, 1.0) for second in range(1000)]
    fast = [(second, 5.0) for second in range(1000, 2000)]
    assert pace.speed(slow + fast, since=0, now=2000) == pytest.approx(5, rel=0.01)
    assert pace.speed(slow + fast, since=0, now=10_000) < 1


def test_one_large_block_is_no_burst():
    assert pace.speed([(3600, 36_000)], since=0, now=3600) == 10


@pytest.mark.parametrize("jump", [-1e6, -10, 10])
def test_a_clock_that_is_set_changes_little(jump):
    written = [(second, 2.0) for second in range(1, 1001)]
    assert pace.speed(written, since=0, now=1000 + jump) == pytest.approx(2, rel=0.05)


def test_nothing_is_known_after_a_jump_ahead():
    written = [(second, 2.0) for second in range(1, 1001)]
    assert pace.seconds_left(5, pace.speed(written, since=0, now=1e12)) is None


@given(SIZES, SIZES, st.floats(0, 1e9), st.floats(0, 1e9))
def test_less_is_left_sooner(first, second, slow, fast):
    (less, more), (slow, fast) = sorted([first, second]), sorted([slow, fast])
    times = [
        pace.seconds_left(size, speed) for size, speed in ((less, fast), (more, fast), (more, slow))
    ]
    assert all(time is None or (0 <= time < math.inf) for time in times)
    known = [math.inf if time is None else time for time in times]
    assert known == sorted(known)
    assert pace.seconds_left(0, slow) == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 days"),
        (86_400 * 1000, "1000 days"),
    ],
)
def test_durations_are_said_in_one_unit(seconds, said):
    assert pace.duration(seconds) == said
