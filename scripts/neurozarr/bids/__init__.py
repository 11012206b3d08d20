"""BIDS data sets: their images and metadata files, and the description of a derivative.

Rules are those of the BIDS specification 1.10. Names of files are parsed by bids2table.
"""
