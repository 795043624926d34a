"""How a host is reached: where its name leads, through which proxy, with whose credentials."""
