"""Writes to the ledger: transactions that share a commit, and the queue between processes."""
