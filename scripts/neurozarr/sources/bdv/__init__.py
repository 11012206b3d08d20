"""Images of BigDataViewer and BigStitcher: an XML file, and HDF5, N5 or OME-Zarr with voxels."""
