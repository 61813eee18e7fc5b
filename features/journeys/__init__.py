"""The fold from events to features, its parts, and their descriptions."""
