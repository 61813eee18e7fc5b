"""Churn, intent and retention models: fitted, calibrated, validated."""
