"""Zarr and N5 stores, in directories and at URLs."""
