"""MRtrix images (.mif, .mif.gz, .mih), as its documentation, "MRtrix image formats", defines them.

No library reads their voxels: nibabel does not know the format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip

from neurozarr.errors import SourceError
from neurozarr.files import check_file
from neurozarr.regions import Region
from neurozarr.sources.nibabel_image import NibabelSource, known_affine
from neurozarr.sources.scaled_image import ScaledSource, scaling, sizes_of, time_of

#: Names of the axes in C order, by their number.
_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "ctzyx"}
_KINDS = {"int": "i", "uint": "u", "float": "f", "cfloat": "c"}
#: Header keys that are required.
_REQUIRED = ("dim", "vox", "layout", "datatype", "file")
#: Largest header, in bytes.
_MAX_HEADER = 2**22


@dataclass(frozen=True, kw_only=True, eq=False)
class MifSource(ScaledSource):
    """An MRtrix image; its axes may be stored in any order and direction.

    The affine places the voxels as they are stored: it is reversed along x, y and z where they are.
    """

    suffixes = (".mif", ".mif.gz", ".mih")

    @classmethod
    def _fields(cls, path: Path) -> dict[str, Any]:
        header = _read_header(path)
        if missing := [key for key in _REQUIRED if key not in header]:
            raise SourceError(f"{path}: its header has no {missing[0]}")
        dim = tuple(int(length) for length in header["dim"][0].split(","))
        if len(dim) not in _AXES or min(dim) < 1:
            raise SourceError(f"{path}: dim is {dim}; allowed: 2 to 5 positive lengths")
        ranks, reversed_ = _layout(path, header["layout"][0], len(dim))
        order = np.argsort(ranks)[::-1]  # Slowest axis first.
        names = _AXES[len(dim)][::-1]
        axes, shape = "".join(names[i] for i in order), tuple(dim[i] for i in order)
        voxels, dtype, is_bits = _open_voxels(path, header, axes, shape)
        turned = tuple(i >= 3 and reversed_[i] for i in order)

        def stored(region: Region) -> np.ndarray[Any, Any]:
            there = tuple(
                slice(length - side.stop, length - side.start) if turn else side
                for side, length, turn in zip(region, shape, turned, strict=True)
            )
            found = _read_bits(voxels, shape, there) if is_bits else voxels.read_file(there)
            return found[tuple(slice(None, None, -1 if turn else 1) for turn in turned)]

        def real(region: Region) -> np.ndarray[Any, Any]:
            return stored(region) * scale + offset

        vox = [*map(float, header["vox"][0].split(",")), *[1.0] * 3]
        offset, scale = map(float, header.get("scaling", ["0,1"])[0].split(","))
        return {
            "files": tuple(dict.fromkeys((voxels.voxels, path))),
            "file_axes": axes,
            "file_shape": shape,
            "in_order": voxels.in_order,
            "voxel_size": sizes_of(vox[:3]),
            "space_unit": "millimeter",
            "affine": _affine(path, header.get("transform"), vox, dim, reversed_),
            # mrconvert gives it in seconds to NIfTI, which is where it comes from.
            **(time_of(vox[3], "second") if len(dim) > 3 else {}),
            **scaling(dtype, np.array([scale]), np.array([offset]), stored, real),
        }


def _read_header(path: Path) -> dict[str, list[str]]:
    """The values of each key of a header, without the comments."""
    opened: Any = igzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")
    with opened as file:
        text = file.read(_MAX_HEADER).decode("latin-1")
    lines = [line.partition("#")[0].strip() for line in text.split("\n")]
    if path.suffix.lower() == ".mih":  # Which ends with its header.
        lines.append("END")
    if lines[0] != "mrtrix image" or "END" not in lines:
        raise SourceError(f"{path}: not an MRtrix image: no line 'mrtrix image', or no line 'END'")
    header: dict[str, list[str]] = {}
    for line in lines[1 : lines.index("END")]:
        key, _, value = line.partition(":")
        header.setdefault(key.strip().lower(), []).append(value.strip())
    return header


def _layout(path: Path, layout: str, count: int) -> tuple[list[int], list[bool]]:
    """Rank of each axis, 0 for the fastest, and whether it is stored from its end."""
    parts = [part.strip() for part in layout.split(",")]
    ranks = [int(part) for part in parts if re.fullmatch(r"[+-]?\d+", part)]
    if sorted(map(abs, ranks)) != list(range(count)):
        raise SourceError(
            f"{path}: layout is {layout}; allowed: the numbers 0 to {count - 1} with signs"
        )
    return [abs(rank) for rank in ranks], [part.startswith("-") for part in parts]


def _open_voxels(
    path: Path, header: dict[str, list[str]], axes: str, shape: tuple[int, ...]
) -> tuple[NibabelSource, np.dtype[Any], bool]:
    """The voxels or, of bits, the bytes; the data type; and whether they are bits."""
    name, offset = (*header["file"][0].split(maxsplit=1), "0")[:2]
    voxels = path if name == "." else path.parent / name
    if len(header["file"]) > 1:
        raise SourceError(f"{path}: its voxels are in several files: mrconvert it to one .mif")
    check_file(voxels)
    if header["datatype"][0].lower() == "bit":
        size = (-(-int(np.prod(shape)) // 8),)
        packed = NibabelSource.of_voxels(voxels, "x", size, np.dtype("u1"), int(offset))
        return packed, np.dtype(bool), True
    match = re.fullmatch(r"(u?int|c?float)(8|16|32|64)(le|be)?", header["datatype"][0].lower())
    if match is None:
        raise SourceError(f"{path}: datatype is {header['datatype'][0]}, which is unknown")
    kind, size_ = _KINDS[match[1]], int(match[2]) // (4 if match[1] == "cfloat" else 8)
    dtype = np.dtype(f"{ {'le': '<', 'be': '>', None: '='}[match[3]] }{kind}{size_}")
    return NibabelSource.of_voxels(voxels, axes, shape, dtype, int(offset)), dtype, False


def _read_bits(packed: NibabelSource, shape: tuple[int, ...], region: Region) -> np.ndarray:
    """Read a region of bits, of which the highest of a byte comes first, in whole rows."""
    lengths = [side.stop - side.start for side in region]
    voxels = np.empty(lengths, bool)
    for index in np.ndindex(*lengths[:-2]):
        outer = [side.start + i for side, i in zip(region, index, strict=False)]
        start = int(np.ravel_multi_index((*outer, region[-2].start, 0), shape))
        stop = start + lengths[-2] * shape[-1]
        found = np.unpackbits(packed.read_file((slice(start // 8, -(-stop // 8)),)))
        rows = found[start % 8 :][: stop - start].reshape(lengths[-2], shape[-1])
        voxels[index] = rows[:, region[-1]]
    return voxels


def _affine(
    path: Path,
    rows: list[str] | None,
    vox: list[float],
    dim: tuple[int, ...],
    is_reversed: list[bool],
) -> np.ndarray[Any, Any] | None:
    """Affine of the voxels as they are stored; the transform is in mm, without the voxel sizes."""
    if rows is None:
        return None
    affine = np.vstack([np.array([row.split(",") for row in rows[:3]], float), [0, 0, 0, 1]])
    if affine.shape != (4, 4):
        raise SourceError(f"{path}: transform is {rows}; allowed: 3 rows of 4 numbers")
    affine[:3, :3] *= vox[:3]
    for column, length in enumerate(dim[:3]):
        if is_reversed[column]:
            affine[:3, 3] += affine[:3, column] * (length - 1)
            affine[:3, column] *= -1
    return known_affine(affine)
