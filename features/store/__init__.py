"""Feast: building, reading and writing the feature store."""
