"""Samples: read the configuration and the sample sheet, plan each image, and find stale files."""
