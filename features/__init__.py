"""This floor keeps data and computes features: events, journeys, feature store, ledger."""
