"""The dead end is gone to which all requests of git go that were not checked."""

from cidx_jobs.handlers.git import shields
from torture.jobs import TYPES

__all__ = ["TYPES"]

shields._SHIELDS["http.proxy"] = ""
shields._ENVIRONMENT.pop("all_proxy")
