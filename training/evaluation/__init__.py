"""The value of a policy: earned (lift) or estimated (off-policy)."""
