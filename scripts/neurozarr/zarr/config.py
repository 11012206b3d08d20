"""Options of a store, with types, defaults and checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from os import PathLike
from typing import Any, Literal, NamedTuple

from neurozarr.axes import SPATIAL
from neurozarr.zarr.versions import VERSIONS, zarr_version

DRIVERS = ("tensorstore", "zarr-python")


class Option(NamedTuple):
    """One option of a compressor."""

    default: Any
    allowed: str
    accepts: Callable[[Any], bool]


def _integer(lowest: int, highest: int) -> Callable[[Any], bool]:
    return lambda value: _is_integer(value) and lowest <= value <= highest


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


BLOSC_CODECS = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
BLOSC_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
_DEFLATE = {"level": Option(5, "an integer from 0 to 9", _integer(0, 9))}

COMPRESSORS: dict[str, dict[str, Option]] = {
    "blosc": {
        "cname": Option("zstd", "one of " + ", ".join(BLOSC_CODECS), BLOSC_CODECS.__contains__),
        "clevel": Option(1, "an integer from 0 to 9", _integer(0, 9)),
        "shuffle": Option(
            "shuffle", "one of " + ", ".join(BLOSC_SHUFFLES), BLOSC_SHUFFLES.__contains__
        ),
        "blocksize": Option(0, "0 (automatic) or a number of bytes", _integer(0, 2**31 - 1)),
    },
    "zlib": _DEFLATE,
    "gzip": _DEFLATE,
    "zstd": {
        "level": Option(3, "an integer from -7 to 22", _integer(-7, 22)),
        "checksum": Option(False, "true or false", _is_bool),
    },
}


@dataclass(frozen=True, kw_only=True)
class ZarrConfig:
    """How to store an image.

    The fields of linc-convert's ``ZarrConfig`` have the same names here, and the same meaning, but
    some have other defaults: those of the workflow's options.

    Parameters
    ----------
    out
        Directory of the group that `from_config` creates, unless it is given one.
    zarr_version
        Version of the Zarr format.
    chunk
        Chunk shape in voxels, in Zarr order: one number for all spatial axes, or one number for
        each of the last axes, which include all spatial axes. The length along all other axes
        (time, channel) is 1, or see ``chunk_time`` and ``chunk_channels``. A chunk is never larger
        than the volume.
    chunk_channels, chunk_time
        Whether each channel, and each time, has chunks of its own, along an axis for which
        ``chunk`` has no number; if not, a chunk has all of them. linc-convert's default for
        ``chunk_channels`` is False.
    shard
        Shard shape in voxels, given like ``chunk`` and a multiple of it; "auto" for whole chunks
        of up to 1 GiB together, uncompressed; None for no shards. Zarr v3 only.
    shard_channels, shard_time
        Whether each channel, and each time, has shards of its own, as far as it has chunks of its
        own; if not, a shard has all of them. linc-convert's default is False for both.
    no_time
        Whether the first of four axes is that of the channels, rather than time.
    compressor
        "blosc", "gzip", "zstd", "zlib" (Zarr v2 only), or None or "none" for uncompressed chunks.
    compressor_options
        Options of the compressor that differ from their defaults (see ``COMPRESSORS``).
    compressor_opt
        linc-convert's name of ``compressor_options``, which then has them.
    dimension_separator
        Separator of the indices in the key of a chunk.
    order
        Order of the voxels in a chunk: "C", or "F" (on Zarr v3, a transpose codec).
    fill_value
        Value of voxels that are not stored. None: zero.
    levels
        Number of levels after level 0; -1 stops at the first level that fits in one chunk.
    factors
        Factors by which each level is downsampled: "auto", a number for all spatial axes, or a list
        for each level (see `neurozarr.plan.pyramid.pyramid`).
    edge
        Whether windows that the edge of the image cuts are left out ("drop") or reduced to a voxel
        like others ("keep").
    no_pyramid_axis
        An axis that is not downsampled: its index among the spatial axes (z, y, x), or its name.
    ome_version
        "0.4" (Zarr v2), "0.5" or "0.6" (Zarr v3), or "auto".
    overwrite
        Whether `from_config` and `create_array` may replace an existing group or array.
    driver
        Library that reads and writes voxels: "tensorstore" or "zarr-python".

    Raises
    ------
    ValueError
        A value is not allowed; the message names the field, the value and the allowed values.
    """

    out: str | PathLike[str] | None = None
    zarr_version: Literal[2, 3] = 3
    chunk: int | tuple[int, ...] = 128
    chunk_channels: bool = True
    chunk_time: bool = True
    shard: int | tuple[int, ...] | Literal["auto"] | None = None
    shard_channels: bool = True
    shard_time: bool = True
    no_time: bool = False
    compressor: Literal["blosc", "zlib", "gzip", "zstd", "none"] | None = "blosc"
    compressor_options: dict[str, Any] = field(default_factory=dict)
    compressor_opt: InitVar[dict[str, Any] | None] = None
    dimension_separator: Literal[".", "/"] = "/"
    order: Literal["C", "F"] = "C"
    fill_value: complex | None = None
    levels: int = -1
    factors: int | Literal["auto"] | Sequence[Sequence[int]] = "auto"
    edge: Literal["drop", "keep"] = "drop"
    no_pyramid_axis: int | Literal["z", "y", "x"] | None = None
    ome_version: Literal["auto", "0.4", "0.5", "0.6"] = "auto"
    overwrite: bool = False
    driver: str = "tensorstore"

    def __post_init__(self, compressor_opt: dict[str, Any] | None) -> None:
        if compressor_opt is not None:
            if self.compressor_options:
                raise ValueError(
                    f"compressor_opt is {compressor_opt!r}, but compressor_options is "
                    f"{self.compressor_options!r}; they are one option: give one of them"
                )
            object.__setattr__(self, "compressor_options", compressor_opt)
        if self.compressor == "none":
            object.__setattr__(self, "compressor", None)
        for name in ("chunk", "shard"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        self._check_out()
        self._check("zarr_version", _one_of(2, 3), "2 or 3")
        self._check("chunk", _is_shape, "a positive integer, or a list of them")
        self._check(
            "shard",
            lambda value: value in (None, "auto") or _is_shape(value),
            'null, "auto", a positive integer, or a list of them',
        )
        for name in ("chunk_channels", "chunk_time", "shard_channels", "shard_time", "no_time"):
            self._check(name, _is_bool, "true or false")
        self._check("compressor", _one_of(None, *COMPRESSORS), f"{', '.join(COMPRESSORS)} or null")
        self._check_compressor_options()
        self._check("dimension_separator", _one_of(".", "/"), '"." or "/"')
        self._check("order", _one_of("C", "F"), '"C" or "F"')
        self._check("fill_value", _is_number_or_none, "a number or null")
        self._check("levels", _integer(-1, 62), "-1 (automatic) or a number of levels up to 62")
        self._check(
            "factors",
            _is_factors,
            "auto, a number from 2 to 16, or a list for each level of a number from 1 to 16 for "
            "each spatial axis",
        )
        self._check("edge", _one_of("drop", "keep"), "drop or keep")
        self._check(
            "no_pyramid_axis",
            lambda value: value in (None, *SPATIAL) or _integer(0, 2)(value),
            "null, or the index of a spatial axis: 0, 1 or 2, or its name: z, y or x",
        )
        self._check("ome_version", _one_of("auto", *VERSIONS), '"auto", "0.4", "0.5" or "0.6"')
        self._check("overwrite", _is_bool, "true or false")
        self._check("driver", _one_of(*DRIVERS), ", ".join(DRIVERS))
        self._check_zarr_version()

    def _check(self, name: str, accepts: Callable[[Any], bool], allowed: str) -> None:
        value = getattr(self, name)
        if not accepts(value):
            raise ValueError(f"{name} is {value!r}; allowed: {allowed}")

    def _check_out(self) -> None:
        if self.out is not None and not isinstance(self.out, (str, PathLike)):
            raise ValueError(f"out is {self.out!r}; allowed: a path or null")

    def _check_compressor_options(self) -> None:
        if not isinstance(self.compressor_options, dict):
            raise ValueError(
                f"compressor_options is {self.compressor_options!r}; allowed: option: value"
            )
        options = COMPRESSORS[self.compressor] if self.compressor else {}
        for name, value in self.compressor_options.items():
            if name not in options:
                raise ValueError(
                    f"compressor_options has {name!r}, which compressor {self.compressor!r} does "
                    f"not know; allowed: {', '.join(options) or 'none'}"
                )
            if not options[name].accepts(value):
                raise ValueError(
                    f"compressor_options[{name!r}] is {value!r}; allowed: {options[name].allowed}"
                )

    def _check_zarr_version(self) -> None:
        if self.zarr_version == 2:
            if self.shard is not None:
                raise ValueError(
                    f"shard is {self.shard!r}, but Zarr v2 has no shards; allowed: null, or "
                    "zarr_version 3"
                )
            if "checksum" in self.compressor_options:
                raise ValueError(
                    "compressor_options has 'checksum', which zstd only has in Zarr v3; leave it "
                    "out, or use zarr_version 3"
                )
        elif self.compressor == "zlib":
            raise ValueError(
                "compressor is 'zlib', which Zarr v3 does not have; allowed: gzip (the same "
                "compression in another wrapping), blosc, zstd or null"
            )
        if self.ome_version != "auto" and self.zarr_version != zarr_version(self.ome_version):
            raise ValueError(
                f"ome_version is {self.ome_version!r}, which requires zarr_version "
                f"{zarr_version(self.ome_version)}, but zarr_version is {self.zarr_version}; "
                'allowed: "auto"'
            )

    def compressor_settings(self) -> dict[str, Any]:
        """All options of the compressor, including defaults."""
        if self.compressor is None:
            return {}
        defaults = {name: option.default for name, option in COMPRESSORS[self.compressor].items()}
        return defaults | self.compressor_options


def given(
    out: str | PathLike[str] | ZarrConfig | None, zarr_config: ZarrConfig | None
) -> tuple[str | PathLike[str], ZarrConfig]:
    """Directory and configuration that are the arguments of `neurozarr.from_config`.

    Raises
    ------
    TypeError
        There is no configuration, or there are two.
    ValueError
        There is no directory.
    """
    if isinstance(out, ZarrConfig):
        out, zarr_config = zarr_config, out
    if not isinstance(zarr_config, ZarrConfig) or isinstance(out, ZarrConfig):
        raise TypeError("the arguments must be a ZarrConfig, or a directory and a ZarrConfig")
    path = zarr_config.out if out is None else out
    if path is None:
        raise ValueError("out is None; it must be the directory of the group")
    return path, replace(zarr_config, out=path)


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is v or (type(value) is type(v) and value == v) for v in values)


def _is_shape(value: Any) -> bool:
    sizes = value if isinstance(value, tuple) else (value,)
    return bool(sizes) and all(_is_integer(size) and size > 0 for size in sizes)


def _is_factors(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(
            isinstance(level, (list, tuple)) and level and all(map(_integer(1, 16), level))
            for level in value
        )
    return bool(value == "auto" or _integer(2, 16)(value))


def _is_number_or_none(value: Any) -> bool:
    return value is None or isinstance(value, (int, float, complex))
