"""Each customer: identity, contacts, consents, answers, and those who were forgotten."""
