"""Logged decisions made again: replay, explanation, policy evaluation and lift."""
