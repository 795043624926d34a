"""What submits jobs by itself: schedules, what is asked of them, and the timer that fires them."""
