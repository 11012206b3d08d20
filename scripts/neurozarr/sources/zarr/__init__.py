"""Zarr and N5 stores, in directories and on the web."""
