"""Looks at customers again some days after a decision, and learns and publishes effects."""
