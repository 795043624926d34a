"""How a data directory is taken into possession: lock, checks, session."""
