"""Files that a run keeps beside the stores: claims, receipts, ownership records and job logs."""
