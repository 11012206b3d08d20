"""Errors for files that are missing, unreadable, damaged or cut short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurozarr.errors import SourceError


@contextmanager
def as_source_errors(
    file: str | Path, wrong: str, kinds: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Turn errors of libraries, which have no common base class, into SourceErrors.

    Parameters
    ----------
    file
        The file that the error names.
    wrong
        What the error says, such as "the voxels cannot be read".
    kinds
        Other errors than these and those of a missing or unreadable file are not changed.

    Raises
    ------
    SourceError
        The block has raised an error.
    """
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError as error:
        is_other = error.filename is not None and str(error.filename) != str(file)
        text = f"{error.filename} is missing" if is_other else "there is no such file"
        raise SourceError(f"{file}: {text}") from None
    except PermissionError:
        raise SourceError(f"{file}: the file cannot be read: permission denied") from None
    except kinds as error:
        text = " ".join(str(error).split())
        reason = f"{text} is missing or unknown" if isinstance(error, KeyError) else text
        raise SourceError(
            f"{file}: {wrong} ({reason}); the file may be cut short, damaged or unsupported"
        ) from error


def check_size(file: str | Path, size: int, end: int, ratio: float = 1) -> None:
    """Check that a file is not too short for its voxels.

    Parameters
    ----------
    file
        The file.
    size
        Its size, in bytes.
    end
        Where its voxels end, in bytes, after decompression.
    ratio
        Highest compression ratio of the file; 1 if it is not compressed.

    Raises
    ------
    SourceError
        The file is too short.
    """
    if size * ratio < end:
        compressed = ", compressed" if ratio > 1 else ""
        raise SourceError(
            f"{file}: cut short: {size} bytes{compressed}, but its voxels end at byte {end}"
        )
