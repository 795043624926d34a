"""The routes of the server itself: its queue, job types and health, and what describes it all."""
