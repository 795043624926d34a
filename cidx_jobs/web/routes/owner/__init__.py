"""What the other processes of a shared data directory ask its owner."""
