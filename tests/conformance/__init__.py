"""What each seam promises, run over every implementation of it."""
