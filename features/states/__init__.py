"""Journey states in the ledger: folded, kept with checkpoints, and shown in the online store."""
