"""Journeys for people: the answers of `/v1/journeys`, the report, and the process behind them."""
