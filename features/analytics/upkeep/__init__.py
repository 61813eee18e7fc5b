"""Keeps the files and the counts of journeys equal to what a rebuild would find."""
