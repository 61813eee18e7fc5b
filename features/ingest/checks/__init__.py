"""Checks that look at more than one row of the contract tables."""
