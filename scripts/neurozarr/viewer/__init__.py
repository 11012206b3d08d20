"""A page to look at stores: the client of Neuroglancer, and a server for it and for the voxels."""
