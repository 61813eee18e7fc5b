"""Views of progress: funnels, times until a step, and what comes after a journey."""
