"""What an operator keeps of a server: who did what, and backups."""
