"""This floor decides: the decision engine, the server, the learner and the command `nba`."""
