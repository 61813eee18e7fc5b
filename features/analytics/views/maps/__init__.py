"""Views of maps: nodes and transitions, ways, loops, channels, and parts of journeys."""
