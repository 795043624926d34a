"""Whole parts together: the HTTP face, the command line, the built package."""
