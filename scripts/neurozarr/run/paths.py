"""Paths of a store, its receipts, its reports and its exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from neurozarr.ome.extending import level_name
from neurozarr.zarr.documents import FILES, GROUP_FILES, HEADER, LABELS


@dataclass(frozen=True, kw_only=True)
class Place:
    """An OME-Zarr image of others, to which levels are added where it is.

    Attributes
    ----------
    group
        Directory of its group, without links.
    names
        Paths in the group of the levels that it has, finest first.
    """

    group: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StorePaths:
    """All paths of one store.

    With ``"{sample}"`` and ``"{label}"`` as names, the paths are patterns for Snakemake.

    Attributes
    ----------
    output
        Output directory, which contains the stores.
    sample
        Name of the sample, with its directories; of a label, that of the image it is of.
    nii
        Whether the store has a NIfTI header.
    zarr_version
        Version of the Zarr format.
    label
        Path of a label below the store of its image, such as "/labels/cells"; "" for an image.
    place
        The image that gets more levels; None for a store in the output directory.
    """

    output: str
    sample: str
    nii: bool
    zarr_version: Literal[2, 3]
    label: str = ""
    place: Place | None = None

    @property
    def image(self) -> StorePaths:
        """Paths of the image that a label is of."""
        return replace(self, label="")

    @property
    def store(self) -> Path:
        """Directory of the group."""
        return Path(self.output, self._name) if self.place is None else Path(self.place.group)

    @property
    def state(self) -> Path:
        """Directory of the receipts, ownership records and claims."""
        return Path(self.output, ".state", self._name)

    def level(self, number: int | str) -> LevelPaths:
        """Paths of one level."""
        name, given = str(number), False
        if self.place is not None and name.isdigit():
            name = level_name(self.place.names, int(number))
            given = int(number) < len(self.place.names)
        return LevelPaths(
            number,
            self.store / name,
            self.state / str(number),
            self.zarr_version,
            in_place=self.place is not None,
            given=given,
        )

    def node(self, name: str) -> Path:
        """Directory of a node, by its name in the records: a level has its number."""
        return self.level(name).folder if name.isdigit() else self.store / name

    def levels(self, blocks: Sequence[int]) -> list[LevelPaths]:
        """Paths of all levels of an image.

        Parameters
        ----------
        blocks
            Number of blocks of each level, finest first.
        """
        levels = [self.level(number) for number in range(len(blocks))]
        coarse = coarse_levels(blocks)
        return [
            replace(level, made_with=levels[-1].block_receipt(0))
            if level.number in coarse
            else level
            for level in levels
        ]

    @property
    def group(self) -> list[Path]:
        """Metadata files of the group; the first one makes the directory a Zarr group."""
        return [self.store / name for name in GROUP_FILES[self.zarr_version]]

    @property
    def label_list(self) -> list[Path]:
        """Metadata files of the group with the list of all labels of an image, as `group`."""
        return [self.image.store / LABELS / name for name in GROUP_FILES[self.zarr_version]]

    @property
    def header(self) -> list[Path]:
        """Metadata files of the NIfTI header's array; empty if the store has no header."""
        names = FILES[self.zarr_version] if self.nii else ()
        return [self.store / HEADER / name for name in names]

    @property
    def marks(self) -> list[Path]:
        """Files that say that the image is published: of an image of others, a receipt."""
        return [*self.group, *self.header] if self.place is None else [self.ome_receipt]

    @property
    def record(self) -> Path:
        """Record of what was written into the group, which stays after a conversion."""
        return self.state / "owned.json"

    @property
    def ome_receipt(self) -> Path:
        """Receipt of the OME metadata; it holds the documents of the group."""
        return self.state / "ome.json"

    @property
    def header_receipt(self) -> Path:
        """Receipt of the NIfTI header."""
        return self.state / "header.json"

    @property
    def verify_receipt(self) -> Path:
        """Receipt of a verification that found no damage."""
        return self.state / "verify.json"

    @property
    def source_receipt(self) -> Path:
        """Receipt of a source that a rule of another workflow makes: it is there."""
        return Path(self.output, ".state", "sources", f"{self.sample}{self.label}.txt")

    @property
    def report(self) -> Path:
        """Report of the last verification."""
        return Path(self.output, "verify", f"{self.sample}{self.label}.json")

    @property
    def page(self) -> Path:
        """Page that shows the image."""
        return self.index.parent / f"{self.sample}{self.label}.html"

    @property
    def thumbnail(self) -> Path:
        """Small picture of the image, for the list of all pages."""
        return Path(self.index.parent, "thumbnails", f"{self.sample}{self.label}.png")

    @property
    def page_receipt(self) -> Path:
        """Record of the page and the thumbnail, and of what they were made from."""
        return self.page_receipts / f"{self.sample}{self.label}.json"

    @property
    def page_receipts(self) -> Path:
        """Directory of the records of all pages."""
        return Path(self.output, ".state", "pages")

    @property
    def index(self) -> Path:
        """List of all pages in the output directory."""
        return Path(self.output, "reports", "index.html")

    @property
    def index_receipt(self) -> Path:
        """Record of the list of all pages."""
        return Path(self.output, ".state", "index.json")

    def sidecar(self, ending: str) -> Path:
        """File beside the store with metadata of its source, such as ".json"."""
        return Path(self.output, f"{self.sample}{self.label}{ending}")

    @property
    def sidecar_receipt(self) -> Path:
        """Record of the files beside the store that were written."""
        return self.state / "sidecars.json"

    def export(self, level: int | str) -> Path:
        """NIfTI file to which a level is exported."""
        return Path(self.output, "nifti", f"{self.sample}{self.label}_level-{level}.nii.gz")

    def export_receipt(self, level: int | str) -> Path:
        """Receipt of an exported level."""
        return self.state / f"export-{level}.json"

    @property
    def _name(self) -> str:
        kind = "in-place" if self.place is not None else "nii" if self.nii else "ome"
        return f"{self.sample}.{kind}.zarr{self.label}"


@dataclass(frozen=True, kw_only=True)
class DatasetPaths:
    """Paths of the files at the top of a BIDS derivative.

    Attributes
    ----------
    output
        Output directory.
    folder
        Directory of the derivative below it, such as "a/"; "" for the output itself.
    """

    output: str
    folder: str

    @property
    def top(self) -> Path:
        """Directory of the files."""
        return Path(self.output, self.folder)

    def sidecar(self, ending: str) -> Path:
        """A file, by its name."""
        return self.top / ending

    @property
    def sidecar_receipt(self) -> Path:
        """Record of the files that were written."""
        return Path(self.output, ".state", f"{self.folder}dataset.json")


@dataclass(frozen=True)
class LevelPaths:
    """Paths of one level of an image.

    Attributes
    ----------
    number
        Number of the level; 0 is the finest.
    folder
        Directory of its array.
    state
        Directory of its receipts.
    zarr_version
        Version of the Zarr format.
    made_with
        Receipt of the last coarse level (see `coarse_levels`), whose job makes this level too; None
        if the level has jobs of its own.
    in_place
        Whether it is added to an image of others: then no rule has its document as output.
    given
        Whether the image had this level before: nothing of it is written.
    """

    number: int | str
    folder: Path
    state: Path
    zarr_version: Literal[2, 3]
    made_with: Path | None = None
    in_place: bool = False
    given: bool = False

    @property
    def document(self) -> Path:
        """Metadata file of the array."""
        return self.folder / FILES[self.zarr_version][0]

    @property
    def array_receipt(self) -> Path:
        """Receipt of the creation of the (empty) array."""
        return self.state / "array.json"

    def block_receipt(self, block: int | str) -> Path:
        """Receipt of a block."""
        return self.state / f"block-{block}.json"

    def partial(self, block: int | str) -> Path:
        """File that tells how much of a block is written (see `neurozarr.run.partial`)."""
        return self.state / f"partial-{block}.json"

    def block_receipts(self, count: int) -> list[Path]:
        """Receipts of the first `count` blocks."""
        return [self.block_receipt(block) for block in range(count)]

    def files(self, blocks: int) -> list[Path]:
        """Metadata file and receipts of a level with `blocks` blocks."""
        return [self.document, self.array_receipt, *self.block_receipts(blocks)]

    def job_output(self, file: Path) -> Path:
        """The file to request from Snakemake to make a file of this level again."""
        if self.in_place and file == self.document:
            file = self.array_receipt
        return self.made_with or file


def coarse_levels(blocks: Sequence[int]) -> range:
    """Levels at the end of a pyramid that one job makes, because each is a single block.

    Parameters
    ----------
    blocks
        Number of blocks of each level, finest first. Level 0 is never among the coarse levels.
    """
    first = len(blocks)
    while first > 1 and blocks[first - 1] == 1:
        first -= 1
    return range(first, len(blocks))
