"""A line of a terminal that is rewritten in place."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.run.live import LiveLine, is_terminal

from ..terminal import shown, terminal

WORDS = st.text("abc", max_size=30)


@given(st.lists(st.tuples(st.booleans(), WORDS), max_size=12), WORDS)
def test_lines_appear_above_it(events, last):
    stream, said = io.StringIO(newline="\r\n"), []
    live = LiveLine(stream)
    for is_line, word in events:
        if is_line:
            live.write(f"said {word}")  # As Snakemake's handler does, which ends it by itself.
            live.write("\n")
            said.append(f"said {word}")
        else:
            live.show(word)
    live.show(last)
    assert shown(stream.getvalue()) == [*said, last]
    live.show("")
    assert shown(stream.getvalue()) == [*said, ""]


def test_nothing_is_shown_within_a_line():
    stream = io.StringIO()
    live = LiveLine(stream)
    live.show("live")
    live.write("half")
    live.show("changed")
    live.write(" a line\n")
    assert shown(stream.getvalue().replace("\n", "\r\n")) == ["half a line", "changed"]


def test_it_fits_in_the_terminal():
    with terminal(20) as made:
        with os.fdopen(os.dup(made.end), "w") as stream:
            LiveLine(stream).show("x" * 50)
        assert made.close() == "x" * 19 + "\r"


@pytest.mark.parametrize(
    ("kind", "is_live"), [("xterm-256color", True), ("dumb", False), ("", False), (None, False)]
)
def test_only_a_terminal_that_can_has_one(monkeypatch, tmp_path, kind, is_live):
    monkeypatch.delenv("TERM", raising=False)
    if kind is not None:
        monkeypatch.setenv("TERM", kind)
    with terminal(20) as made:
        with os.fdopen(os.dup(made.end), "w") as stream:
            assert is_terminal(stream) == is_live
        made.close()
    with (tmp_path / "log").open("w") as file:
        assert not is_terminal(file)
