"""Journeys as customers took them: cut into steps, kept as columns, counted and drawn."""
