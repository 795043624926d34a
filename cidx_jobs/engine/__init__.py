"""What moves jobs: the manager, slots, the queue, the scheduler and the runs."""
