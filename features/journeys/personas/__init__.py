"""Personas: their conditions, which speak of features and attributes."""
