"""What operators see of a server: the admin log, backups, and what the doctor finds."""
