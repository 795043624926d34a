"""What operators see of a server: the admin log, and what the doctor finds."""
