"""Credited rewards of the policy and of the random arm, compared by customer."""
