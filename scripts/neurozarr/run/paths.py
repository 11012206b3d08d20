"""Where everything of a store lies: its files, its receipts, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurozarr.zarr.documents import FILES, GROUP_FILES, HEADER


@dataclass(frozen=True, kw_only=True)
class StorePaths:
    """Where everything of one store lies.

    With ``"{sample}"`` in the place of a name, the paths are patterns.

    Attributes
    ----------
    output
        Directory of the stores.
    sample
        Name of the sample.
    nii
        Whether the store has a NIfTI header.
    zarr_version
        Version of the Zarr format.
    """

    output: str
    sample: str
    nii: bool
    zarr_version: Literal[2, 3]

    @property
    def store(self) -> Path:
        """Directory of the group."""
        return Path(self.output, self._name)

    @property
    def state(self) -> Path:
        """Directory of the receipts and of the claims of runs."""
        return Path(self.output, ".state", self._name)

    def level(self, number: int | str) -> LevelPaths:
        """Where a level lies."""
        return LevelPaths(
            number, self.store / str(number), self.state / str(number), self.zarr_version
        )

    def levels(self, count: int) -> list[LevelPaths]:
        """Where each of some levels lies, finest first."""
        return [self.level(number) for number in range(count)]

    @property
    def group(self) -> list[Path]:
        """The files that describe the group; the first makes it a group."""
        return [self.store / name for name in GROUP_FILES[self.zarr_version]]

    @property
    def header(self) -> list[Path]:
        """The files that describe the array of the NIfTI header; none where there is no header."""
        names = FILES[self.zarr_version] if self.nii else ()
        return [self.store / HEADER / name for name in names]

    @property
    def ome_receipt(self) -> Path:
        """Receipt of the OME metadata, with the documents of the group."""
        return self.state / "ome.json"

    @property
    def header_receipt(self) -> Path:
        """Receipt of the NIfTI header."""
        return self.state / "header.json"

    @property
    def verify_receipt(self) -> Path:
        """Receipt of a check that found no damage."""
        return self.state / "verify.json"

    @property
    def report(self) -> Path:
        """What a check found."""
        return Path(self.output, "verify", f"{self.sample}.json")

    def export(self, level: int | str) -> Path:
        """A level as a NIfTI file."""
        return Path(self.output, "nifti", f"{self.sample}_level-{level}.nii.gz")

    def export_receipt(self, level: int | str) -> Path:
        """Receipt of a level as a NIfTI file."""
        return self.state / f"export-{level}.json"

    @property
    def _name(self) -> str:
        return f"{self.sample}.nii.zarr" if self.nii else f"{self.sample}.ome.zarr"


@dataclass(frozen=True)
class LevelPaths:
    """Where a level of an image lies.

    Attributes
    ----------
    number
        Of the level; 0 is the finest.
    folder
        Directory of its array.
    state
        Directory of its receipts.
    zarr_version
        Version of the Zarr format.
    """

    number: int | str
    folder: Path
    state: Path
    zarr_version: Literal[2, 3]

    @property
    def document(self) -> Path:
        """The file that describes the array."""
        return self.folder / FILES[self.zarr_version][0]

    @property
    def array_receipt(self) -> Path:
        """Receipt of the array, created empty."""
        return self.state / "array.json"

    def block_receipt(self, block: int | str) -> Path:
        """Receipt of a block."""
        return self.state / f"block-{block}.json"

    def block_receipts(self, count: int) -> list[Path]:
        """Receipts of all blocks, of which there are some."""
        return [self.block_receipt(block) for block in range(count)]
