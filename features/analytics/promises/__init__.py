"""Promises and expected ways, judged over the steps of many journeys at once."""
