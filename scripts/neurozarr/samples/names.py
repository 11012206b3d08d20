"""Names of samples, made of the names of files and images."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

from neurozarr.samples.sample import Sample
from neurozarr.sources import stem

#: A run of characters of which at least one is not allowed in names, with the underscores around.
_NOT_IN_NAMES = re.compile(r"_*[^A-Za-z0-9._+-][^A-Za-z0-9.+-]*")
#: Letters that Unicode does not decompose into one of a to z and an accent.
_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O"}
    | {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"}
    | {"\u0131": "i", "µ": "u", "μ": "u"}
)
#: Name that is made of a file name of which nothing is left.
_NOTHING_LEFT = "image"
#: Likewise, of the name of a directory.
_NO_FOLDER = "directory"
#: Number of samples whose names the log explains one by one.
_EXPLAINED = 10


def name_of(text: str) -> str:
    """Make a name for a sample of any text.

    Letters lose their accents (Unicode's compatibility decomposition, NFKD; ß becomes ss, µ becomes
    u), any run of other characters becomes "_", and names start with a letter or a digit. Text that
    is a valid name is not changed.

    Parameters
    ----------
    text
        Name of a file without its ending, or of an image in a file.

    Returns
    -------
    str
        The name; empty if nothing is left.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    name = _NOT_IN_NAMES.sub("_", plain)
    # An underscore at the end stays if it is in the text.
    return (name if name == plain else name.rstrip("_")).lstrip("_.+-")


def file_name(path: str) -> str:
    """Name of the sample of a source that has no line in a sheet: that of its file."""
    return name_of(stem(path)) or _NOTHING_LEFT


def folder_name(text: str) -> str:
    """Name of a directory of stores that is kept from the sources, by the rule for file names."""
    return name_of(text) or _NO_FOLDER


def names_of(texts: Sequence[str]) -> list[str]:
    """Names of the images of one file; equal ones get a number.

    A number is that of the image in its file, from 0.
    """
    names = [name_of(text) for text in texts]
    return [
        name if name and names.count(name) == 1 else f"{name}_{number}".strip("_")
        for number, name in enumerate(names)
    ]


def explanations(samples: Iterable[Sample]) -> list[str]:
    """Lines for the log: how samples without a sheet are named whose file names are not allowed."""
    changed = {
        sample.path: name
        for sample in samples
        if sample.image is None and stem(sample.path) != (name := file_name(sample.path))
    }
    lines = [
        f"source {path!r}: its sample is named {name}, because names have only letters "
        "a to z, digits and . _ + -"
        for path, name in islice(changed.items(), _EXPLAINED)
    ]
    more = len(changed) - len(lines)
    return [*lines, f"{more} more samples are named in the same way"] if more else lines
