from pathlib import Path

import hypothesis
import nibabel
import pytest

ROOT = Path(__file__).parents[1]
MRI = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def mri() -> Path:
    """Real images, which come with nibabel."""
    return MRI


hypothesis.settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("quick")
