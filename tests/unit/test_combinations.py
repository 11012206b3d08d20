"""All combinations of versions, separators, shards and dtypes: refused or readable by others."""

import itertools
import json
import warnings

import numpy as np
import pytest
import tensorstore
import yaozarrs
import zarr

import neurozarr
from neurozarr import ZarrConfig
from neurozarr.zarr.versions import VERSIONS

DTYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
FORMATS = list(itertools.product([2, 3], VERSIONS, [None, 8], ["/", "."]))


def is_allowed(zarr_version, ome_version, shard, separator):
    return VERSIONS[ome_version] == zarr_version and not (zarr_version == 2 and shard)


@pytest.mark.parametrize("combination", [f for f in FORMATS if not is_allowed(*f)], ids=str)
def test_combination_against_a_specification_is_refused(combination):
    zarr_version, ome_version, shard, separator = combination
    with pytest.raises(ValueError, match=r"Zarr v2 has no shards|requires zarr_version [23]"):
        ZarrConfig(
            zarr_version=zarr_version,
            ome_version=ome_version,
            shard=shard,
            dimension_separator=separator,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("combination", [f for f in FORMATS if is_allowed(*f)], ids=str)
def test_allowed_combination_is_read_by_other_readers(tmp_path, combination, dtype):
    zarr_version, ome_version, shard, separator = combination
    config = ZarrConfig(
        out=tmp_path / "image",
        zarr_version=zarr_version,
        ome_version=ome_version,
        shard=shard,
        dimension_separator=separator,
        chunk=4,
    )
    voxels = np.random.default_rng(0).integers(0, 2, (9, 8, 7)).astype(dtype)
    group = neurozarr.from_config(config)
    group.create_array("0", voxels.shape, dtype)[...] = voxels
    group.generate_pyramid(levels=1, mode="stride")
    group.write_ome_metadata(axes="zyx", ome_version=ome_version)
    opened = zarr.open_group(str(tmp_path / "image"), mode="r")
    np.testing.assert_array_equal(opened["0"][...], voxels)
    spec = {
        "driver": {2: "zarr", 3: "zarr3"}[zarr_version],
        "kvstore": f"file://{tmp_path}/image/1/",
    }
    level = np.asarray(tensorstore.open(spec).result())
    np.testing.assert_array_equal(level, voxels[:8:2, ::2, :6:2])
    if ome_version != "0.6":  # yaozarrs does not support it yet.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yaozarrs.validate_zarr_store(str(tmp_path / "image"))
        attributes = json.dumps(dict(opened.attrs).get("ome", dict(opened.attrs)))
        yaozarrs.validate_ome_json(attributes)
