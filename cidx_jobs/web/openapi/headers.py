"""The headers of answers, as the document of the API explains them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cidx_jobs.web.openapi.examples import JOB_ID

HEADERS: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "Allow": ("The methods that the path has.", "GET, HEAD"),
        "Cache-Control": ("Answers are not to be kept.", "no-store"),
        "Content-Security-Policy": ("A browser loads nothing for it.", "default-src 'none'"),
        "ETag": (
            "The state of the job: its version, and while it waits the queue's revision.",
            'W/"7"',
        ),
        "Idempotency-Replayed": ("The key's first request made the job.", "true"),
        "Link": (
            "Where the next page is (RFC 8288).",
            '</api/jobs?limit=50&cursor=c2a-0f1e2d3c>; rel="next"',
        ),
        "Location": ("Where what was made can be read.", f"/api/jobs/{JOB_ID}"),
        "Preference-Applied": ("How long the answer would have waited.", "wait=10"),
        "RateLimit": (
            "What is left of the caller's requests, where the server limits them.",
            '"default";r=19;t=1',
        ),
        "RateLimit-Policy": ("How often a caller may ask.", '"default";q=20;w=2'),
        "Referrer-Policy": ("A browser tells nobody where it was.", "no-referrer"),
        "Retry-After": ("After how many seconds to ask again.", "1"),
        "WWW-Authenticate": ("How to say who asks.", 'Bearer realm="cidx-jobs"'),
        "X-Content-Type-Options": ("A browser takes the type as it is.", "nosniff"),
        "X-Request-Id": ("Finds the request in the server's log.", "a1b2c3d4-1"),
    }
)
"""What answers carry besides their type, each with an example."""
