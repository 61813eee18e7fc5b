"""The lift by intention to treat with its verdicts, and beside it the credited rewards."""
