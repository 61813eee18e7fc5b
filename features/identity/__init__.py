"""The identity of customers: keys, links between them, merges and splits; tombstones."""
