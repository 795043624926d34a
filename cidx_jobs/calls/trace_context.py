"""Trace context: the ``traceparent`` of the caller's current span (W3C Trace Context).

OpenTelemetry is asked only where the program has loaded it: nothing of it is imported here.
"""

import re
import sys
from typing import Any

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: object) -> bool:
    """Tell whether it is a trace context that can be handed on."""
    return isinstance(text, str) and _TRACEPARENT.fullmatch(text) is not None


def find_traceparent() -> str | None:
    """Return the trace context of the span that is current, if there is one."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
