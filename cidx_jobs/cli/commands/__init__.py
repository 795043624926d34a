"""How each command is called: its arguments, options and help."""
