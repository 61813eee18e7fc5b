"""Journey features: the fold over a customer's events, its parts, and the feature descriptions."""
