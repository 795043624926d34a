"""When a schedule submits its job: cron lines, even intervals, and what a schedule says."""
