"""Sums the rewards of shown actions, and the value of customers, by customer and day."""
