"""Pages that show what was converted: one for each sample, and a list of all of them."""
