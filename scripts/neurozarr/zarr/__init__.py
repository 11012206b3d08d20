"""The Zarr format: its interface, options, documents and the names of its files."""
