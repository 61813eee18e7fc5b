"""Promises in the fold: what is due, what was broken, and the memory of open journeys behind it."""
