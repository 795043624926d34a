"""Faults on purpose: real servers that are killed, starved of disk, and lied to by the system.

``python -m torture kill --rounds 200 --seed 7`` and so on; each run prints its seed, can be
repeated by it, and ends with "faults off, everything becomes final". What is promised stands in
docs/explanation/guarantees.md.
"""
