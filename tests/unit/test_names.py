"""Names of samples that are made of the names of files and images."""

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import ConfigError
from neurozarr.samples import names
from neurozarr.samples.reading import read_run
from neurozarr.samples.schema import SHEET_SCHEMA

ALLOWED = "[A-Za-z0-9][A-Za-z0-9._+-]*"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sub-01__T1w_", "sub-01__T1w_"),
        ("Größe (1)", "Grosse_1"),
        ("10 µm_Øre", "10_um_Ore"),
        ('it\'s a "scan"', "it_s_a_scan"),
        ("(1)", "1"),
        ("_a", "a"),
        ("-._+a", "a"),
        ("a _ b", "a_b"),
        ("ﬁne ½", "fine_1_2"),
        ("naïve.Ångström", "naive.Angstrom"),
        ("脳", ""),
        ("", ""),
    ],
)
def test_name_has_the_nearest_letters(text, name):
    for form in ("NFC", "NFD"):  # macOS decomposes file names.
        assert names.name_of(unicodedata.normalize(form, text)) == name


@given(st.text())
def test_name_of_any_text_is_allowed(text):
    name = names.name_of(text)
    assert re.fullmatch(ALLOWED, name) or name == ""
    assert names.name_of(name) == name


@given(st.from_regex(ALLOWED, fullmatch=True))
def test_allowed_name_is_kept(text):
    assert names.name_of(text) == text
    assert ALLOWED in yaml.safe_load(SHEET_SCHEMA.read_text())["properties"]["sample"]["pattern"]


def test_images_of_a_file_with_equal_names_get_their_number():
    assert names.names_of(["a b", "a_b", "c", "脳"]) == ["a_b_0", "a_b_1", "c", "3"]


@pytest.fixture
def touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *files: [Path(file).touch() for file in files]


@pytest.mark.parametrize("source", ["ü (1).nii", ["ü (1).nii", "b.nii"], "*.nii"], ids=str)
def test_sample_is_named_after_any_file(touched, source):
    touched("ü (1).nii", "b.nii")
    samples = read_run({"source": source})[1]
    assert samples["u_1"].path == "ü (1).nii"
    assert names.explanations(samples.values()) == [
        "source 'ü (1).nii': its sample is named u_1, because names have only letters "
        "a to z, digits and . _ + -"
    ]


def test_file_is_not_taken_for_a_pattern(touched):
    touched("a {t}.nii")
    assert [*read_run({"source": "a {t}.nii"})[1]] == ["a_t"]


def test_log_names_ten_samples(touched):
    touched(*(f"{number}%.nii" for number in range(12)))
    *lines, last = names.explanations(read_run({"source": "*.nii"})[1].values())
    assert len(lines) == 10
    assert last == "2 more samples are named in the same way"


@pytest.mark.parametrize(("one", "two", "name"), [("a b", "a_b", "a_b"), ("脳", "心", "image")])
def test_files_with_equal_names_are_refused(touched, one, two, name):
    touched(f"{one}.nii", f"{two}.nii")
    with pytest.raises(ConfigError) as error:
        read_run({"source": [f"{one}.nii", f"{two}.nii"]})
    assert f"two samples are named {name!r}: {one}.nii and {two}.nii; give" in str(error.value)


def test_name_that_is_still_not_allowed_is_refused(touched):
    touched(f"{'ä' * 20}.nii")
    with pytest.raises(ConfigError, match=r"sample is 'aaaa.*; give it another name"):
        read_run({"source": "*.nii"})


@pytest.mark.parametrize(("second", "helps"), [("one/a.nii.gz", False), ("two/a.nii", True)])
def test_directories_are_advised_only_where_they_differ(tmp_path, second, helps):
    for name in ("one/a.nii", second):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="two samples are named 'a'") as error:
        read_run({"source": [str(tmp_path / "one/a.nii"), str(tmp_path / second)]})
    assert ("output_tree" in str(error.value)) == helps
