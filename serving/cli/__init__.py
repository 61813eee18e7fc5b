"""The command `nba`."""
