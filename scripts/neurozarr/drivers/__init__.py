"""Opening arrays and groups with a driver that is picked by name."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Literal

from neurozarr.drivers.local import LocalArray, LocalGroup, check_version
from neurozarr.zarr.config import ZarrConfig

#: Module and name of each driver's type of group. A driver is imported when it is first used.
_GROUP_TYPES = {
    "tensorstore": ("neurozarr.drivers.tensorstore", "TensorStoreGroup"),
    "zarr-python": ("neurozarr.drivers.zarr_python", "ZarrPythonGroup"),
}

DEFAULT_DRIVER = ZarrConfig.driver


def group_type(driver: str) -> type[LocalGroup]:
    """The type of a driver's groups.

    Raises
    ------
    ValueError
        There is no such driver; the message names those that there are.
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
        "r" and "r+" open what exists; "a" opens it, or creates it; "w" empties it first; "w-"
        creates it, and fails where it exists.
    zarr_version
        Version of the Zarr format: of a new group (3 by default), and what an old one must be.
    driver
        Library that carries the voxels.

    Raises
    ------
    FileNotFoundError
        There is no group.
    FileExistsError
        Mode "w-" and the group exists; or mode "w" and what exists is not Zarr.
    ValueError
        The group is of another version, or mode or driver is unknown.
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
    """Open an array that exists.

    Parameters
    ----------
    path
        Directory of the array.
    mode
        "r" for reading alone; "r+" and "a" for writing as well.
    zarr_version
        What its version of the Zarr format must be; None for either.
    driver
        Library that carries the voxels.
    threads
        How many threads the library may use at once; None for as many as there are processors.
        With zarr-python this holds for the process, from its first array on.

    Raises
    ------
    FileNotFoundError
        There is no array.
    ValueError
        The array is of another version, or mode or driver is unknown.
    """
    if mode not in ("r", "r+", "a"):
        raise ValueError(f'mode is {mode!r}; allowed: "r", "r+", "a"')
    array = group_type(driver).array_type(path, read_only=mode == "r", threads=threads)
    check_version(array, zarr_version)
    return array


def from_config(zarr_config: ZarrConfig) -> LocalGroup:
    """Create, or open, the group that a configuration describes, with its driver.

    Raises
    ------
    ValueError
        ``out`` is None, or what exists there is of another Zarr version.
    FileExistsError
        ``overwrite`` is set, and what exists at ``out`` is not Zarr.
    """
    return group_type(zarr_config.driver).from_config(zarr_config)
