"""The command ``neurozarr``: of a package that was built, and its runs."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from neurozarr.commands import snakemake_arguments
from neurozarr.info import describe
from neurozarr.version import VERSION

from ..programs import PATIENCE
from ..runs import Started

#: What the package contains of the top of the repository.
CARRIED = ("Snakefile", "rules/*.smk", "scripts/*.py", "envs/*", "config/*", "profiles/*/*")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])('built')"


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """The content of the wheel that is built from a source distribution."""

    def build(directory, kind):
        command = [sys.executable, "-c", BUILD, f"build_{kind}"]
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=PATIENCE)
        (file,) = (directory / "built").iterdir()
        return file

    # A copy without the history, from which the version is known, but with the version itself.
    copy = tmp_path_factory.mktemp("copy")
    for name in ("LICENSE", "README.md", "pyproject.toml", "Snakefile"):
        shutil.copy(root / name, copy)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("config", "envs", "profiles", "rules", "scripts"):
        shutil.copytree(root / name, copy / name, ignore=leave_out)
    named = f"Metadata-Version: 2.1\nName: neurozarr\nVersion: {VERSION}\n"
    (copy / "PKG-INFO").write_text(named)
    sources = tmp_path_factory.mktemp("sources")
    with tarfile.open(build(copy, "sdist")) as archive:
        archive.extractall(sources, filter="data")
    (unpacked,) = sources.iterdir()
    package = tmp_path_factory.mktemp("package")
    wheel = build(unpacked, "wheel")
    assert wheel.name == f"neurozarr-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(package)
    return package


def test_wheel_of_a_source_distribution_has_the_whole_workflow(built, root):
    expected = {
        f"neurozarr/workflow/{path.relative_to(root)}": path
        for pattern in CARRIED
        for path in root.glob(pattern)
    }
    library = root / "scripts/neurozarr"
    expected |= {
        f"neurozarr/{path.relative_to(library)}": path
        for path in library.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = {str(path.relative_to(built)): path for path in built.rglob("*") if path.is_file()}
    found = {name: path for name, path in found.items() if name.startswith("neurozarr/")}
    assert found.keys() == expected.keys()
    for name, path in found.items():
        assert path.read_bytes() == expected[name].read_bytes(), name


@pytest.fixture(scope="module")
def converted(built, make_workflow, mri):
    """A conversion in an empty directory, by the package that was built."""
    made = make_workflow({"source": "anatomical.nii", "zarr": {"chunk": 16}})
    shutil.copy(mri / "anatomical.nii", made.directory)
    words = ["run", "anatomical.nii", "--output", "results", "zarr.chunk=16", "--", "--cores", "2"]
    run = subprocess.run(
        [sys.executable, "-m", "neurozarr", *words],
        cwd=made.directory,
        env=os.environ | {"PYTHONPATH": str(built)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    assert f"profile {built}/neurozarr/workflow/profiles/default" in run.stderr
    # What can be done next is said in the words of what was done.
    assert f"neurozarr export {' '.join(words[1:])}\n" in run.stderr
    return made


def test_built_package_converts_to_the_same_bytes(converted, fresh):
    assert converted.tree() == fresh(converted)


@pytest.mark.parametrize("command", ["plan", "verify", "export"])
def test_commands_do_what_their_names_say(converted, tmp_path, command):
    converted.copy_to(tmp_path)
    report = tmp_path / "results/verify/anatomical.json"
    before = report.stat().st_mtime_ns
    arguments = snakemake_arguments([command, "anatomical.nii", "zarr.chunk=16"])
    run = Started(arguments, tmp_path, dict(os.environ)).wait()
    assert run.code == 0, run.output
    assert (report.stat().st_mtime_ns > before) == (command == "verify")
    exported = tmp_path / "results/nifti/anatomical_level-0.nii.gz"
    assert exported.exists() == (command == "export")
    assert ("nothing to do: all stores are complete" in run.output) == (command == "plan")


def test_info_prints_a_table_of_each_store(converted):
    store = str(converted.store())
    command = [sys.executable, "-m", "neurozarr", "info", store, store]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert run.stdout == f"{describe(store)}\n\n{describe(store)}\n"
