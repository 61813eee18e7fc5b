"""The command `nba journeys`: tables in the terminal, JSON, a report, and the recount."""
