"""Attributes outcomes to shown actions, and computes the credit that the bandit learns."""
