"""Simulated businesses whose truth is known, and the baselines that are played in them."""
