"""Errors that are about a user's options and files: their message says all there is to say."""

from __future__ import annotations


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


class OwnershipError(NeurozarrError, RuntimeError):
    """What would be overwritten or deleted is not this workflow's."""
