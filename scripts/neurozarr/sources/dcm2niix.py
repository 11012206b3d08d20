"""The program dcm2niix: the images that it finds in DICOM files, and their conversion to NIfTI."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from neurozarr.errors import SourceError
from neurozarr.sources.extras import install_command

logger = logging.getLogger(__name__)

#: The oldest version whose lists of files and images can be relied on.
OLDEST = "1.0.20260724"

#: Its arguments for each value of an option. None are passed for its defaults: an explicit "-m 2",
#: for example, does not do the same as no -m.
_ARGUMENTS: dict[str, dict[Any, tuple[str, ...]]] = {
    "scaling": {"precise": (), "display": ("-p", "n")},
    "merge": {"auto": (), True: ("-m", "y"), False: ("-m", "n")},
    "derived": {True: (), False: ("-i", "y")},
}
#: File names that it is told to give: number of the series, echo, UID of the series, and number of
#: the first file, which tells images of different shapes apart. It adds the part.
_NAME = "%s--%e--%j--%r"
_PARSED_NAME = re.compile(r"(-?\d+)--(\d+)--([\d.]*)--(-?\d+)(.*)")
_PARTS = {"": "magnitude", "ph": "phase"}
#: What it adds to the names of corrected images: of CT whose gantry was tilted, or whose slices are
#: not evenly spaced.
_CORRECTED = ("_Tilt_Eq_1", "_Tilt_1", "_Eq_1")
#: Files that it writes beside an image: the BIDS metadata, and the diffusion gradients.
SIDECARS = (".json", ".bval", ".bvec")
#: How it says to which series a file belongs, and what it warns of.
_FILE = "DICOM file: "
_SERIES = re.compile(r" acq -?\d+ img -?\d+ ser (-?\d+) ")
_JOINED = re.compile("stacked despite varying series")
_WARNING = re.compile(r"(?:Warning|Error): *(.*)")
#: BIDS metadata about a person. What they say must not be in other metadata either.
_PERSONAL = (
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyID"),
)
#: Shortest part of a name or number that is looked for in other metadata.
_SHORTEST = 3
#: Exit codes of success, and of no images.
_DONE, _NONE, _PARTLY = 0, 2, 8


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that dcm2niix makes of DICOM files.

    Attributes
    ----------
    key
        Checksum of the UID of its series, and the number of its first file.
    series, description
        Number and description of its series; the description as file names may have it, and empty
        if it names the patient.
    echo
        Number of the echo; 0 if unknown.
    part
        "magnitude", "phase", "real", "imaginary", or what else dcm2niix tells apart.
    files
        All files with that number of a series, sorted; all of the directory if dcm2niix joins
        series, or numbers them anew.
    """

    key: str
    series: int
    description: str
    echo: int
    part: str
    files: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Words that name the image."""
        return (str(self.series), self.description, f"e{self.echo}", self.part, self.key)

    @property
    def dataset(self) -> str:
        """The labels that no other image has."""
        return f"{self.series} e{self.echo} {self.part} {self.key}"

    def name(self, among: Iterable[Image]) -> str:
        """Return a name that tells it from the others, with as few of the labels as needed."""
        labels = self.labels
        for count in range(2, len(labels) + 1):
            if sum(other.labels[:count] == labels[:count] for other in among) == 1:
                break
        return "_".join(label for label in labels[:count] if label)


@dataclass(frozen=True)
class Converted:
    """What dcm2niix made of an image.

    Attributes
    ----------
    nifti
        The NIfTI file.
    sidecars
        Text of the files beside it, by their endings: ".json", ".bval" and ".bvec".
    """

    nifti: Path
    sidecars: dict[str, str]


@cache
def version() -> str:
    """Return the version of dcm2niix.

    Raises
    ------
    SourceError
        It is not installed, or too old.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _, said = _run(["--version"], Path(scratch))
    found = re.search(r"^v(\d+\.\d+\.\d+)", said, re.MULTILINE)
    if found is None or found[1] < OLDEST:
        raise SourceError(
            f"dcm2niix {found[1] if found else 'of an unknown version'} is too old: {OLDEST} or "
            f"newer is needed ({install_command('dicom')})"
        )
    return found[1]


def images(path: str, files: Sequence[Path], options: Mapping[str, Any]) -> list[Image]:
    """List the images of DICOM files; this reads their headers, but no voxels.

    Parameters
    ----------
    path
        The source, which messages name.
    files
        The files, among which there may be others.
    options
        Options of the group ``dicom``.

    Raises
    ------
    SourceError
        dcm2niix fails, or is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found, said = _headers(path, files, options, Path(scratch))
    series: dict[str, int | None] = {}
    file = ""
    for line in said.splitlines():
        if line.startswith(_FILE):
            file = line.removeprefix(_FILE)
        elif match := _SERIES.match(line):
            series[file] = int(match[1])
    if _JOINED.search(said) or options.get("merge", "auto") != "auto":
        series = dict.fromkeys(series, None)
    listed = []
    for name, header in found.items():
        key, echo, part = _parsed(name)
        number = int(header.get("SeriesNumber", 0))
        own = [path for path, of in series.items() if of == number]
        description = as_name(header.get("SeriesDescription", ""))
        listed.append(
            Image(
                key=key,
                series=number,
                description="" if _has(description, _secrets([header])) else description,
                echo=echo,
                part=part,
                files=tuple(sorted(own or series)),
            )
        )
    return sorted(listed, key=lambda image: (image.series, image.echo, image.part, image.key))


def as_name(description: str) -> str:
    """Return a description with only letters that the name of a sample may have."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", description).strip("_")


def convert(path: str, image: Image, options: Mapping[str, Any], out: Path) -> Converted:
    """Convert an image to NIfTI.

    Names, dates and identifiers of a person are left out of all files and of the log.

    Parameters
    ----------
    path
        The source, which messages name.
    image
        The image, as `images` lists it.
    options
        Options of the group ``dicom``.
    out
        Directory for the files, which must be empty.

    Raises
    ------
    SourceError
        dcm2niix cannot convert it.
    """
    files = [Path(file) for file in image.files]
    with tempfile.TemporaryDirectory() as scratch:
        found, _ = _headers(path, files, options, Path(scratch))
    secrets = _secrets(found.values())
    told = ["-b", "y", "-ba", "y", "-c", "", "-z", "n", "-w", "2", *_arguments(options)]
    code, said = _run([*told, "-s", "y", "-f", _NAME, "-o", str(out), _list(files, out)], out)
    warnings = _warnings(said, secrets)
    for warning in warnings:
        logger.warning("%s: dcm2niix: %s", path, warning)
    names = [
        file.stem
        for file in sorted(out.glob("*.nii"))
        if file.stem in found and _parsed(file.stem) == (image.key, image.echo, image.part)
    ]
    if code != _DONE or not names:
        reason = "; ".join(warnings) or f"it ended with code {code}"
        raise SourceError(f"{path}: dcm2niix cannot convert series {image.series}: {reason}")
    (name,) = names
    again = [file for file in out.glob(f"{name}[a-z].nii") if file.stem not in found]
    if again:
        logger.warning("%s: %d more images of the same name are left out", path, len(again))
    nifti = out / f"{name}.nii"
    if options.get("tilt") != "original":
        corrected = [out / f"{name}{end}.nii" for end in _CORRECTED]
        nifti = next((file for file in corrected if file.is_file()), nifti)
    sidecars = {end: out / f"{name}{end}" for end in SIDECARS}
    texts = {end: file.read_text() for end, file in sidecars.items() if file.is_file()}
    if ".json" in texts:
        kept = _without(json.loads(texts[".json"]), secrets)
        texts[".json"] = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    return Converted(nifti.rename(out / "image.nii"), texts)


def _headers(
    path: str, files: Sequence[Path], options: Mapping[str, Any], scratch: Path
) -> tuple[dict[str, Any], str]:
    """BIDS metadata of each image, by its file's name, and what dcm2niix prints of each file."""
    out = scratch / "headers"
    out.mkdir()
    told = ["-b", "o", "-ba", "n", "-v", "1", *_arguments(options)]
    code, said = _run(
        [*told, "-s", "y", "-f", _NAME, "-o", str(out), _list(files, scratch)], scratch
    )
    if code not in (_DONE, _NONE, _PARTLY) and not any(out.iterdir()):
        reason = "; ".join(_warnings(said, ()))
        raise SourceError(f"{path}: dcm2niix cannot read the files: {reason or f'code {code}'}")
    return {file.stem: json.loads(file.read_bytes()) for file in sorted(out.glob("*.json"))}, said


def _warnings(said: str, secrets: Collection[str]) -> list[str]:
    """What dcm2niix warns of, each once, except where it names a person."""
    found = [match[1] for match in map(_WARNING.search, said.splitlines()) if match]
    return list(dict.fromkeys(text for text in found if not _has(text, secrets)))


def _list(files: Sequence[Path], scratch: Path) -> str:
    """Write the paths of the files into a list, so that their order is the same everywhere."""
    for file in files:
        if not os.access(file, os.R_OK):
            raise SourceError(f"{file}: the file cannot be read: permission denied")
    paths = [os.fsencode(os.path.abspath(file)) for file in files]
    if (bad := next((path for path in paths if b"\n" in path), None)) is not None:
        raise SourceError(f"{os.fsdecode(bad)!r}: dcm2niix cannot read a file with such a name")
    made = scratch / "files.txt"
    made.write_bytes(b"\n".join(paths) + b"\n")
    return str(made)


def _arguments(options: Mapping[str, Any]) -> list[str]:
    given = [name for name in _ARGUMENTS if name in options]
    return [word for name in given for word in _ARGUMENTS[name][options[name]]]


def _parsed(name: str) -> tuple[str, int, str]:
    """Key, echo and part of an image, from the name of its file."""
    match = _PARSED_NAME.fullmatch(name)
    if match is None:
        raise SourceError(f"dcm2niix gave a file the name {name!r}, which is not known")
    series, echo, uid, number, part = match.groups()
    part = part.strip("_")
    checksum = zlib.crc32(f"{series} {uid}".encode())
    return f"{checksum:08x}.{number}", int(echo), _PARTS.get(part, part)


def _secrets(headers: Iterable[Mapping[str, Any]]) -> set[str]:
    """What headers say of a person: names, numbers and dates, in lower case."""
    said = [str(header[name]) for header in headers for name in _PERSONAL if name in header]
    parts = [part for text in said for part in (*re.split(r"[\W_]+", text), text)]
    dates = [text.replace("-", "") for text in said]
    return {part.casefold() for part in (*parts, *dates) if len(part) >= _SHORTEST}


def _has(text: str, secrets: Iterable[str]) -> bool:
    return any(secret in text.casefold() for secret in secrets)


def _without(value: Any, secrets: set[str]) -> Any:
    """BIDS metadata without texts in which there is a secret."""
    if isinstance(value, dict):
        return {
            name: _without(item, secrets)
            for name, item in value.items()
            if not (isinstance(item, str) and _has(item, secrets))
        }
    if isinstance(value, list):
        return [item for item in value if not (isinstance(item, str) and _has(item, secrets))]
    return value


@cache
def _program() -> str:
    """Path of dcm2niix: that of its Python package, or the one on the PATH."""
    try:
        from dcm2niix import bin as program  # type: ignore[import-untyped]
    except ImportError:
        program = shutil.which("dcm2niix")
    if program is None:
        raise SourceError(
            f"DICOM is read by dcm2niix, which is not installed: {install_command('dicom')}"
        )
    return str(program)


def _run(arguments: Sequence[str], scratch: Path) -> tuple[int, str]:
    """Run dcm2niix without the user's defaults; return its exit code, and what it prints."""
    # Version 1.0.20260724 reads memory that it has not set, of some enhanced files. With this
    # setting of glibc the memory is 0, and the result always the same.
    environment = os.environ | {"HOME": str(scratch), "MALLOC_PERTURB_": "255"}
    done = subprocess.run(
        [_program(), "-g", "i", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        check=False,
    )
    return done.returncode, os.fsdecode(done.stdout)
