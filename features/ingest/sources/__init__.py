"""Converts published data sets to contract tables."""
