"""The answer of the command `nba lift`, as tables in the terminal."""
