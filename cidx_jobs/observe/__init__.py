"""What is seen: log lines, metrics and health."""
