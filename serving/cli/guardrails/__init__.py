"""The command that shows guardrails, and lifts what they have switched off."""
