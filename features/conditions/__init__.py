"""The language of conditions and formulas, parsed, checked and computed together."""
