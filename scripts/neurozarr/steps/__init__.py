"""Steps of a conversion: each module contains the function that the jobs of one rule call.

A module has the name of its rule and imports only what its jobs need. An image is published (its
group's metadata are written) last, and unpublished before any of its levels changes: a reader who
finds the metadata of the group finds all levels complete.
"""
