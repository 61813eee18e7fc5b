"""Views of what was meant: promises, and the expected way."""
