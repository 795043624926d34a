"""OpenTelemetry: whether runs make spans, and what has to be installed for it."""

import sys

from cidx_jobs.model.errors import SettingsError
from cidx_jobs.model.late_imports import is_there


def wants_spans(tracing: str) -> bool:
    """Tell whether runs make spans; *tracing* is the setting of that name.

    ``auto`` makes them where the program has loaded OpenTelemetry: whoever exports spans has.

    Raises:
        SettingsError: it is ``on``, and the extra ``otel`` is missing.
    """
    if tracing == "auto":
        return "opentelemetry.trace" in sys.modules
    if tracing == "off":
        return False
    if not is_there("cidx_jobs.observe.traces"):
        message = "tracing: on needs an extra: pip install 'cidx_jobs[otel]'"
        raise SettingsError(message)
    return True
