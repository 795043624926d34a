"""Who waits for changes and reads the log: long polls, event logs, idleness."""
