"""The full-text index of a project, built in or made by a program."""
