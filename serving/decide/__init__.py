"""A whole decision: inputs, score, select, record, answer; activation and outcomes."""
