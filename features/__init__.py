"""What we know: events, customers, journeys, the feature store and the ledger."""
