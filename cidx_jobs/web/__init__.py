"""The HTTP face: routes, problems, authentication, long-polls and streams."""
