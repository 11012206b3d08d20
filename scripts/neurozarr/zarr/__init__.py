"""The Zarr format: interface, options, metadata documents and names of chunk files."""
