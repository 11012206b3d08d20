"""Functions that open arrays and groups with a driver, given by its name."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Literal

from neurozarr.drivers.local import LocalArray, LocalGroup, check_version
from neurozarr.zarr.config import ZarrConfig, given

#: Module and class of each driver's groups. A driver is imported when it is first used.
_GROUP_TYPES = {
    "tensorstore": ("neurozarr.drivers.tensorstore", "TensorStoreGroup"),
    "zarr-python": ("neurozarr.drivers.zarr_python", "ZarrPythonGroup"),
}

DEFAULT_DRIVER = ZarrConfig.driver


def group_type(driver: str) -> type[LocalGroup]:
    """The class of a driver's groups.

    Raises
    ------
    ValueError
        There is no such driver; the message names the known ones.
    """
    if driver not in _GROUP_TYPES:
        raise ValueError(f"driver is {driver!r}; allowed: {', '.join(_GROUP_TYPES)}")
    module, name = _GROUP_TYPES[driver]
    return getattr(import_module(module), name)


def open_group(
    path: str | PathLike[str],
    mode: Literal["r", "r+", "a", "w", "w-"] = "a",
    zarr_version: Literal[2, 3] | None = None,
    driver: str = DEFAULT_DRIVER,
) -> LocalGroup:
    """Open a group.

    Parameters
    ----------
    path
        Directory of the group.
    mode
        "r" (read only) and "r+" open an existing group; "a" opens or creates it; "w" deletes an
        existing group and creates a new one; "w-" creates it and fails if it exists.
    zarr_version
        Version of the Zarr format: of a new group (by default 3), or required of an existing one.
    driver
        Library that reads and writes voxels.

    Raises
    ------
    FileNotFoundError
        There is no group.
    FileExistsError
        The mode is "w-" and the group exists; or it is "w" and the directory is not Zarr.
    ValueError
        The group has another version, or the mode or the driver is unknown.
    """
    return group_type(driver).open(path, mode, zarr_version)


def open_array(
    path: str | PathLike[str],
    mode: Literal["r", "r+", "a"] = "a",
    zarr_version: Literal[2, 3] | None = None,
    driver: str = DEFAULT_DRIVER,
    *,
    threads: int | None = None,
) -> LocalArray:
    """Open an existing array.

    Parameters
    ----------
    path
        Directory of the array.
    mode
        "r" to read only; "r+" or "a" to read and write.
    zarr_version
        Required version of the Zarr format; None for either.
    driver
        Library that reads and writes voxels.
    threads
        Most threads of the library; None for one per processor. With zarr-python, the first array
        sets this for the whole process.

    Raises
    ------
    FileNotFoundError
        There is no array.
    ValueError
        The array has another version, or the mode or the driver is unknown.
    """
    if mode not in ("r", "r+", "a"):
        raise ValueError(f'mode is {mode!r}; allowed: "r", "r+", "a"')
    array = group_type(driver).array_type(path, read_only=mode == "r", threads=threads)
    check_version(array, zarr_version)
    return array


def from_config(
    out: str | PathLike[str] | ZarrConfig | None = None, zarr_config: ZarrConfig | None = None
) -> LocalGroup:
    """Create or open a group with the driver of its configuration.

    Parameters
    ----------
    out
        Directory of the group; None, or the configuration itself as the only argument, for the
        ``out`` of the configuration.
    zarr_config
        How to store its arrays.

    Raises
    ------
    TypeError
        There is no configuration.
    ValueError
        There is no directory, or the existing group has another Zarr version.
    FileExistsError
        ``overwrite`` is set, and the directory is not Zarr.
    """
    path, config = given(out, zarr_config)
    return group_type(config.driver).from_config(path, config)
