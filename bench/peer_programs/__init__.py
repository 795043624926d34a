"""What each peer is measured with: programs that run in the peer's own environment, one a file."""
