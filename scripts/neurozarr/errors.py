"""Errors that are about a user's options and files: their message says all there is to say."""

from __future__ import annotations

import re


class NeurozarrError(Exception):
    """What is wrong, with its value; where; and what to do."""


class ConfigError(NeurozarrError, ValueError):
    """A configuration or a sample sheet is wrong."""


class SourceError(NeurozarrError, ValueError):
    """A source cannot be converted."""


class ReceiptError(NeurozarrError, RuntimeError):
    """Receipts and the files in the store do not agree."""


class StoreError(NeurozarrError, OSError):
    """A store cannot be written."""


class DamageError(NeurozarrError, RuntimeError):
    """A store is not what was written."""


class ClaimError(NeurozarrError, RuntimeError):
    """Another run works on the same sample."""


class BundleError(NeurozarrError, RuntimeError):
    """Some samples of a bundle were not converted."""


class OwnershipError(NeurozarrError, RuntimeError):
    """What would be overwritten or deleted is not this workflow's."""


def reason(error: Exception) -> str:
    """What TensorStore says, without the specification of the store and places in its code.

    Of a local file that cannot be read or written, its name and what the system says.
    """
    text = re.sub(r" \[[\w ]+=.*", "", str(error), flags=re.DOTALL)
    failed = re.search(r'local file "([^"]+)".*: ([^:"]+)$', text, flags=re.DOTALL)
    return f"{failed[1]}: {failed[2]}" if failed else text
