"""The models that serve, replaced when a new version is promoted."""
