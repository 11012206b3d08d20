"""Verification: compare a store with its plan, its receipts and its source."""
