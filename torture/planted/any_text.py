"""A body's text is taken as it comes, also what no text in UTF-8 can hold."""

import re

from cidx_jobs.wire import strict_json
from torture.jobs import TYPES

__all__ = ["TYPES"]

strict_json._NO_SCALARS = re.compile("(?!)")
