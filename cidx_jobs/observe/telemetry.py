"""OpenTelemetry: whether runs make spans, and what has to be installed for it."""

import sys
from importlib.util import find_spec

from cidx_jobs.model.errors import SettingsError


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
    # Not of its module: others may have left the name space there without it.
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        message = "tracing: on needs an extra: pip install 'cidx_jobs[otel]'"
        raise SettingsError(message)
    return True
