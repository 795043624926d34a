"""What each command does; `commands/` declares it under the same name."""
