"""What can be asked of a server: one method for each route, by subject."""
