"""What to do where a machine lacks what a torture needs."""

import os


class SkippedError(Exception):
    """This machine lacks something; the text says what."""


def must_not_skip() -> bool:
    """Tell whether a skip is a failure: where nobody reads what was skipped."""
    return bool(os.environ.get("CI"))
