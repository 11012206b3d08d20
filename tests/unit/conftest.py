import numpy as np
import pytest

import neurozarr
from neurozarr import ZarrConfig
from neurozarr.zarr.config import DRIVERS

from .stores import SHAPE


@pytest.fixture(params=[2, 3])
def version(request):
    return request.param


@pytest.fixture(params=DRIVERS)
def driver(request):
    return request.param


@pytest.fixture
def group(tmp_path, version, driver):
    return neurozarr.from_config(
        ZarrConfig(out=tmp_path / "image.zarr", zarr_version=version, chunk=8, driver=driver)
    )


@pytest.fixture
def voxels():
    return np.random.default_rng(0).integers(-999, 999, SHAPE).astype("int16")


@pytest.fixture
def image(group, voxels):
    group.create_array("0", SHAPE, "int16")[...] = voxels
    return group
