"""Customers: identity, attributes, contacts, consents, satisfaction, timeline, and tombstones."""
