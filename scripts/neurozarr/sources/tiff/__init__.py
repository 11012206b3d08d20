"""TIFF files: OME-TIFF, ImageJ, LSM, STK, BigTIFF and plain ones, read by tifffile."""
