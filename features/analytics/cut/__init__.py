"""Cuts the events of customers into journeys, and writes these into columns."""
