"""Data on its way in (live events, tables, importers) and out (erasure)."""
