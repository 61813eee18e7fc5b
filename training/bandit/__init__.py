"""Learns the reward of each action from outcomes, and explores: the contextual bandit."""
