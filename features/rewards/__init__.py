"""Sums the rewards of shown actions by customer, day and arm, for the lift."""
