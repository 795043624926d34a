"""What is stored? Jobs and all that belongs to them, in SQLite or in memory; indexes; files."""
