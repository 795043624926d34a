"""How one run goes: scheduled, executed, reported, and ended exactly once."""
