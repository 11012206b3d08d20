"""The environment that Snakemake makes with conda has the packages of the project."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

#: What conda-forge calls each package, and which of the versions that its feedstock has had (as far
#: as known in August 2026) is the pinned one or, if it is older than that, the newest.
CONDA_FORGE = {
    "aiohttp": ("aiohttp", "3.13.5"),
    "backports-zstd": ("backports.zstd", "1.5.0"),
    "fsspec": ("fsspec", "2026.3.0"),
    "h5py": ("h5py", "3.16.0"),
    "imagecodecs": ("imagecodecs", "2026.3.6"),
    "isal": ("python-isal", "1.8.0"),  # isa-l is the C library.
    "jinja2": ("jinja2", "3.1.6"),
    "jsonschema": ("jsonschema", "4.26.0"),
    "matplotlib": ("matplotlib-base", "3.10.8"),  # matplotlib has a user interface, too.
    "mrcfile": ("mrcfile", "1.5.4"),
    "nibabel": ("nibabel", "5.3.2"),
    "numcodecs": ("numcodecs", "0.16.5"),
    "numpy": ("numpy", "2.4.6"),
    "pillow": ("pillow", "12.0.0"),
    "pygments": ("pygments", "2.19.2"),
    "pynrrd": ("pynrrd", "1.1.3"),
    "pyyaml": ("pyyaml", "6.0.3"),
    "scipy": ("scipy", "1.17.1"),
    "tensorstore": ("tensorstore", "0.1.82"),
    "tifffile": ("tifffile", "2026.3.3"),
    "xxhash": ("python-xxhash", "3.7.0"),  # xxhash is the C library.
    "yaozarrs": ("yaozarrs", "0.3.0"),
    "zarr": ("zarr", "3.1.6"),
}
#: Those that pip installs: it has no feedstock, or one with versions older than needed.
PIP = {"bids2table": None, "dcm2niix": "1.0.20250506", "openreadout": None}


@pytest.fixture(scope="module")
def dependencies(root):
    return yaml.safe_load((root / "envs/neurozarr.yaml").read_text())["dependencies"]


@pytest.fixture(scope="module")
def needed(root):
    """What planning and jobs need, by name; Snakemake runs them, and is not among it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (everything,) = project["optional-dependencies"]["sources"]
    lines = project["dependencies"] + [
        line
        for extra in {*Requirement(everything).extras, "report"}
        for line in project["optional-dependencies"][extra]
    ]
    requirements = map(Requirement, lines)
    found = {canonicalize_name(found.name): found.specifier for found in requirements}
    del found["snakemake"]
    return found


@pytest.fixture(scope="module")
def pins(root):
    lines = (root / "envs/requirements.txt").read_text().split()
    return {canonicalize_name(name): pin for name, pin in (line.split("==") for line in lines)}


def test_each_package_is_listed_by_the_name_that_conda_forge_has_for_it(dependencies, pins):
    *packages, pip, others = dependencies
    assert pip == "pip"
    assert others == {"pip": [f"{name} =={pins[name]}" for name in PIP]}
    assert packages == sorted(
        f"{conda} {'==' if known == pins[name] else '>='}{known}"
        for name, (conda, known) in CONDA_FORGE.items()
    )


def test_versions_known_to_conda_forge_are_enough_and_not_beyond_the_tested_ones(needed, pins):
    assert CONDA_FORGE.keys() | PIP.keys() == needed.keys()
    for name, (_, known) in CONDA_FORGE.items():
        assert needed[name].contains(known), name
        assert Version(known) <= Version(pins[name]), name
    for name, known in PIP.items():
        assert known is None or not needed[name].contains(known), name


def test_python_is_left_to_conda_inject_which_refuses_it(dependencies):
    names = [re.match(r"[\w.-]+", line)[0] for line in dependencies if isinstance(line, str)]
    assert "python" not in names


def test_every_rule_that_runs_a_program_has_the_environment(root):
    for path in (root / "rules").glob("*.smk"):
        text = path.read_text()
        programs = text.count("script:\n") + text.count("shell:\n")
        assert programs == text.count('conda:\n        "../envs/neurozarr.yaml"')
