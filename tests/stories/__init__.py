"""What a user wants to get done, one test a line of the checklists."""
