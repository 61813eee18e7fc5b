"""The served classes, played at speed in the simulated worlds."""
