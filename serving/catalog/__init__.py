"""The compiled catalogue: conditions, wordings and the context of a decision."""
