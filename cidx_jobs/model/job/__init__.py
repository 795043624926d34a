"""What one job is: its state, the events that change it, and the rules of that change."""
