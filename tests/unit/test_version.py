import subprocess

import neurozarr
from neurozarr.version import FALLBACK, version


def git(clone, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(clone), *identity, *args], check=True, capture_output=True)


def commit(clone):
    git(clone, "commit", "--allow-empty", "--message", "change")


def test_clone_has_the_version_of_its_last_tag(tmp_path):
    git(tmp_path, "init")
    commit(tmp_path)
    assert version(tmp_path).startswith(f"{FALLBACK}+g")
    git(tmp_path, "tag", "v1.2.0")
    assert version(tmp_path) == "1.2.0"
    commit(tmp_path)
    commit(tmp_path)
    assert version(tmp_path).startswith("1.2.0.post2+g")
    git(tmp_path, "tag", "other")
    assert version(tmp_path).startswith("1.2.0.post2+g")


def test_without_a_clone_version_is_that_of_the_package(tmp_path):
    from importlib.metadata import version as installed

    assert version(tmp_path) == installed("neurozarr")


def test_package_has_a_version():
    assert neurozarr.__version__[0].isdigit()
