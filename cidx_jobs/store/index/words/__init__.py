"""How the words of many texts come into an index: side by side, on all processors."""
