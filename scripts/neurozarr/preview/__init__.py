"""What a run would write: levels, jobs, size and time, measured on a few chunks, and free space."""
