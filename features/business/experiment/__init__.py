"""Defines what an experiment is judged by: the value of a customer."""
