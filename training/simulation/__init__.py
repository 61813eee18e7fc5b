"""A world whose truth is known, and the policies that are played in it."""
