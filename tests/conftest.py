import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import nibabel
import pytest
import yaml
from hypothesis.internal.conjecture import providers

import neurozarr

from .runs import Workflow

ROOT = Path(__file__).parents[1]
MRI = Path(nibabel.__file__).parent / "tests" / "data"


# A shell starts a program in the background with this signal ignored, as all that it starts would.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: the tests of the cluster wait most of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def mri() -> Path:
    """Real images, which come with nibabel."""
    return MRI


@pytest.fixture(scope="session")
def make_workflow(root: Path, tmp_path_factory) -> Callable[[dict], Workflow]:
    """Makes a workflow with a configuration, in an empty directory of its own."""
    return lambda config: Workflow(root, tmp_path_factory.mktemp("run"), config)


@pytest.fixture
def workflow(make_workflow, mri: Path) -> Workflow:
    """A conversion, not yet run, of a real T1 into three levels."""
    made = make_workflow({"source": "anatomical.nii", "zarr": {"chunk": 16}})
    shutil.copy(mri / "anatomical.nii", made.directory)
    return made


@pytest.fixture(scope="session")
def convert_once(make_workflow) -> Callable[[dict, Path], Workflow]:
    """Runs a configuration on a source, once for all tests."""
    done: dict[tuple[str, bytes], Workflow] = {}

    def convert(config: dict, source: Path) -> Workflow:
        key = (yaml.safe_dump(config), source.read_bytes())
        if key not in done:
            done[key] = make_workflow(config)
            shutil.copy(source, done[key].directory / config["source"])
            done[key]()
        return done[key]

    return convert


@pytest.fixture
def converted(workflow, convert_once) -> Workflow:
    """The same, run: a copy of the directory in which it was."""
    done = convert_once(workflow.config, workflow.directory / "anatomical.nii")
    done.copy_to(workflow.directory)
    return workflow


@pytest.fixture(scope="session")
def fresh(root: Path, tmp_path_factory) -> Callable[[Workflow], dict[str, str]]:
    """Returns the files of a store that nothing disturbed, made in one process, once for all tests.

    workflow/test_convert.py shows that the workflow writes the same files.
    """
    done: dict[tuple[str, bytes], dict[str, str]] = {}

    def fresh(workflow: Workflow) -> dict[str, str]:
        source = workflow.directory / workflow.config["source"]
        options = {
            name: value
            for name, value in workflow.config.items()
            if name not in ("source", "samples", "output", "overwrite")
        }
        key = (yaml.safe_dump(options), source.read_bytes())
        if key not in done:
            output = tmp_path_factory.mktemp("fresh")
            store = neurozarr.convert(source, output, **options)
            made = Workflow(root, output.parent, options | {"output": output.name})
            done[key] = made.tree(store.name.split(".")[0])
        return dict(done[key])  # A test may change it.

    return fresh


hypothesis.settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    derandomize=True,
    # They tell how well examples are found, which depends on the machine and on chance.
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.filter_too_much,
        hypothesis.HealthCheck.data_too_large,
    ],
)
hypothesis.settings.load_profile("quick")
# Hypothesis also takes constants from modules of this project, of which more are imported with each
# test: the examples of one would depend on those before it.
providers._get_local_constants = lambda: providers._local_constants
