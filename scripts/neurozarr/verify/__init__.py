"""Whether a store is what was planned, and what was written."""
