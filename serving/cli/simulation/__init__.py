"""Plays the days of a simulated world on a started server, over HTTP."""
