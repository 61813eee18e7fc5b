"""What we do: the decision engine, the service, the learner, the command."""
