"""Routes of what submits jobs by itself: schedules."""
