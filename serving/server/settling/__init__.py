"""Sets the simulated clock of a server, and does at once what is due by it."""
