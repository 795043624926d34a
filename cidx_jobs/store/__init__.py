"""What keeps jobs: SQLite behind `JobStore`, and the same promises in memory."""
