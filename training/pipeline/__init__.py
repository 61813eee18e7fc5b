"""Training runs: train, warm start, tune, register, promote."""
