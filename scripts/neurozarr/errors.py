"""Errors caused by a user's options or files: their message is shown without a traceback."""

from __future__ import annotations

import re


class NeurozarrError(Exception):
    """Base class of errors caused by a user's options or files.

    The message names what is wrong, with its value; the place; and what to do.
    """


class ConfigError(NeurozarrError, ValueError):
    """A configuration or a sample sheet is wrong."""


class SourceError(NeurozarrError, ValueError):
    """A source cannot be converted."""


class ReceiptError(NeurozarrError, RuntimeError):
    """Receipts and the files of the store contradict each other."""


class StoreError(NeurozarrError, OSError):
    """A store cannot be written."""


class DamageError(NeurozarrError, RuntimeError):
    """Stored data differ from what was written."""


class ClaimError(NeurozarrError, RuntimeError):
    """Another run works on the same sample."""


class BundleError(NeurozarrError, RuntimeError):
    """Some samples of a bundle were not converted."""


class OwnershipError(NeurozarrError, RuntimeError):
    """A file that would be overwritten or deleted was not written by this workflow."""


def reason(error: Exception) -> str:
    """The message of a TensorStore error, without the store's specification and source locations.

    If a local file cannot be read or written: its name and the message of the system.
    """
    text = re.sub(r" \[[\w ]+=.*", "", str(error), flags=re.DOTALL)
    failed = re.search(r'local file "([^"]+)".*: ([^:"]+)$', text, flags=re.DOTALL)
    return f"{failed[1]}: {failed[2]}" if failed else text
