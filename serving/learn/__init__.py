"""The learner: from outcomes to credits to a published bandit."""
