"""Request and answer types of the API."""
