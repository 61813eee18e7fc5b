"""The two YAML files of a business: its domain, labels, catalogue and rules."""
