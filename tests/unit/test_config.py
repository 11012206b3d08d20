"""Values that `ZarrConfig` accepts and refuses."""

import dataclasses

import pytest
import yaml

from neurozarr import ZarrConfig
from neurozarr.zarr.config import COMPRESSORS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"out": 3}, "out is 3; allowed: a path"),
        ({"zarr_version": 1}, "zarr_version is 1; allowed: 2 or 3"),
        ({"zarr_version": "3"}, "zarr_version is '3'"),
        ({"chunk": 0}, "chunk is 0; allowed: a positive integer"),
        ({"chunk": (64, -1)}, r"chunk is \(64, -1\)"),
        ({"chunk": ()}, r"chunk is \(\)"),
        ({"chunk": 64.0}, "chunk is 64.0"),
        ({"chunk": True}, "chunk is True"),
        ({"shard": "big"}, "shard is 'big'; allowed: null, \"auto\""),
        ({"shard": 64, "zarr_version": 2}, "shard is 64, but Zarr v2 has no shards"),
        ({"compressor": "lzma"}, "compressor is 'lzma'; allowed: blosc, zlib, gzip, zstd or null"),
        ({"compressor": "zlib"}, r"compressor is 'zlib', which Zarr v3 does not have.*gzip"),
        ({"compressor_options": 3}, "compressor_options is 3"),
        ({"compressor_options": {"level": 3}}, "'level', which compressor 'blosc' does not know"),
        ({"compressor_options": {"cname": "brotli"}}, "is 'brotli'; allowed: one of blosclz, lz4"),
        ({"compressor_options": {"clevel": 10}}, "is 10; allowed: an integer from 0 to 9"),
        ({"compressor_options": {"shuffle": 1}}, "is 1; allowed: one of noshuffle, shuffle"),
        ({"compressor_options": {"blocksize": -1}}, "is -1; allowed: 0"),
        ({"compressor": None, "compressor_options": {"level": 3}}, "allowed: none"),
        ({"compressor": "gzip", "compressor_options": {"level": 10}}, "is 10; allowed"),
        ({"compressor": "zstd", "compressor_options": {"level": 23}}, "is 23; allowed"),
        ({"compressor": "zstd", "compressor_options": {"checksum": 1}}, "is 1; allowed: true"),
        (
            {"compressor": "zstd", "compressor_options": {"checksum": True}, "zarr_version": 2},
            "'checksum', which zstd only has in Zarr v3",
        ),
        ({"dimension_separator": "-"}, "dimension_separator is '-'"),
        ({"order": "A"}, 'order is \'A\'; allowed: "C" or "F"'),
        ({"fill_value": "0"}, "fill_value is '0'; allowed: a number or null"),
        ({"levels": -2}, "levels is -2; allowed: -1"),
        ({"levels": None}, "levels is None"),
        ({"no_pyramid_axis": 3}, "no_pyramid_axis is 3; allowed: null, or the index"),
        ({"no_pyramid_axis": "t"}, "no_pyramid_axis is 't'; allowed: .* z, y or x"),
        ({"chunk_time": 1}, "chunk_time is 1; allowed: true or false"),
        ({"no_time": None}, "no_time is None; allowed: true or false"),
        ({"compressor_opt": {"level": 3}}, "'level', which compressor 'blosc' does not know"),
        (
            {"compressor_opt": {"clevel": 3}, "compressor_options": {"clevel": 4}},
            r"compressor_opt is \{'clevel': 3\}, but compressor_options is .*give one",
        ),
        ({"ome_version": "0.3"}, "ome_version is '0.3'; allowed: \"auto\""),
        ({"ome_version": "0.4"}, "requires zarr_version 2, but zarr_version is 3"),
        ({"ome_version": "0.5", "zarr_version": 2}, "requires zarr_version 3, but"),
        ({"overwrite": 1}, "overwrite is 1; allowed: true or false"),
        ({"driver": "h5py"}, "driver is 'h5py'; allowed: tensorstore, zarr-python"),
    ],
    ids=str,
)
def test_wrong_value_is_refused_with_the_allowed_values(wrong, message):
    with pytest.raises(ValueError, match=message):
        ZarrConfig(**wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"chunk": [64, 64, 64]},
        {"chunk": (1, 64, 64, 64), "shard": (2, 128, 128, 128)},
        {"shard": "auto"},
        {"zarr_version": 2, "compressor": "zlib", "ome_version": "0.4"},
        {"zarr_version": 3, "compressor": "gzip", "ome_version": "0.5"},
        {"fill_value": float("nan")},
        {"fill_value": 1j},
        {"no_pyramid_axis": 0, "levels": 0},
        {"no_pyramid_axis": "z"},
        {"chunk_channels": False, "chunk_time": False, "shard_channels": False, "no_time": True},
    ],
    ids=str,
)
def test_allowed_value_is_accepted(right):
    config = ZarrConfig(**right)
    for name, value in right.items():
        found = getattr(config, name)
        assert found == (tuple(value) if isinstance(value, list) else value) or found != found


def test_compressor_options_have_defaults():
    assert ZarrConfig(compressor_options={"shuffle": "noshuffle"}).compressor_settings() == {
        "cname": "zstd",
        "clevel": 1,
        "shuffle": "noshuffle",
        "blocksize": 0,
    }
    assert ZarrConfig(compressor=None).compressor_settings() == {}


def test_spellings_of_linc_convert_give_the_same_configuration():
    options = {"cname": "lz4", "clevel": 5}
    config = ZarrConfig(compressor_opt=options)
    assert config == ZarrConfig(compressor_options=options)
    assert dataclasses.replace(config, levels=2).compressor_options == options
    assert dataclasses.replace(config, compressor_options={}).compressor_options == {}
    assert ZarrConfig(compressor="none") == ZarrConfig(compressor=None)


def test_defaults_are_those_of_the_config_schema(root):
    schema = yaml.safe_load((root / "scripts/neurozarr/samples/config.schema.yaml").read_text())
    options = {
        name: option
        for group in ("zarr", "pyramid", "ome")
        for name, option in schema["properties"][group]["properties"].items()
    }
    assert options["order"].pop("default") == "auto"
    config = dataclasses.asdict(ZarrConfig())
    options["order"]["default"] = config["order"]
    assert {name: options[name]["default"] for name in config if name in options} == {
        name: value for name, value in config.items() if name in options
    }
    of_linc_convert = {"chunk_channels", "chunk_time", "shard_channels", "shard_time", "no_time"}
    assert config.keys() - options.keys() == {"out", "overwrite"} | of_linc_convert
    others = {"mode", "name", "channel_names", "channel_colors", "orientation"}
    assert options.keys() - config.keys() == others
    assert set(options["compressor"]["enum"]) == {None, *COMPRESSORS}
