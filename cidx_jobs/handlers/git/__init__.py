"""How git is called behind its shields, and what its words mean."""
