"""The learner: turns outcomes into credits, and credits into a published bandit."""
