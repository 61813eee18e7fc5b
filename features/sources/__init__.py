"""Importers: each turns one real data set into the four contract tables."""
