"""What an application asks of a job system, and how its arguments are read."""
