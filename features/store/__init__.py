"""Builds, reads and writes the feature store, Feast."""
