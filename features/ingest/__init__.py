"""Brings data in (live events, tables, importers) and erases customers."""
