"""What operators see of a server: the admin log."""
