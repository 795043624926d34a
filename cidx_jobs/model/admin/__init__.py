"""What an operator is told of a server: who did what."""
