"""The examples of Hypothesis are the same on every machine and in any order of tests."""

import sys
from types import ModuleType

from hypothesis import given, settings
from hypothesis import strategies as st


def examples():
    """What a test with one number is tried with."""
    found = []

    @settings(max_examples=500)
    @given(st.integers())
    def collect(number):
        found.append(number)

    collect()
    return found


def test_examples_do_not_depend_on_what_is_imported(tmp_path, monkeypatch):
    before = examples()
    module = ModuleType("with_constants")
    module.__file__ = str(tmp_path / "with_constants.py")
    (tmp_path / "with_constants.py").write_text(f"NUMBERS = {list(range(1000, 5000, 7))}\n")
    monkeypatch.setitem(sys.modules, "with_constants", module)
    assert examples() == before
