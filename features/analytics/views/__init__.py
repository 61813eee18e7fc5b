"""Views of journeys: each counts over one relation, so that numbers equal their lists."""
