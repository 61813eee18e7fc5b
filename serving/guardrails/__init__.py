"""Guardrails: anytime-valid tests of harm by action, and the actions that they switch off."""
