"""Persistence in one SQLite file: a module for each kind of thing that is kept."""
