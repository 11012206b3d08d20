"""What runs leave beside the stores: claims, receipts, fingerprints, records of ownership, logs."""
