"""Whoever shares a directory looks too seldom whether it has an owner."""

from cidx_jobs.web.sharing import membership
from torture.jobs import TYPES

__all__ = ["TYPES"]

membership.TAKE_SECONDS = 8.0
