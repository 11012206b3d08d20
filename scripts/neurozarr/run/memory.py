"""How jobs get their memory from the system."""

#: Environment variables of jobs, for the memory allocator of glibc; others ignore them. Otherwise
#: it would return the memory of each sub-block to the system, which clears it before it is used
#: again, and it would keep memory for each thread: jobs would be slower and larger.
ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}
