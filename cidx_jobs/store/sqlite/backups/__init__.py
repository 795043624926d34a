"""How the database is copied while it is in use, and where the copies are kept."""
