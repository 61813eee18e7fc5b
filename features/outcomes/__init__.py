"""Attributes outcomes to shown actions, and computes their credit and reward."""
