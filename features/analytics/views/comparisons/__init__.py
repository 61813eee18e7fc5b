"""Views of differences: two maps, or a map and the expected way."""
