"""Labelled examples, each with the features as they were known at that time."""
