"""What only a request over HTTP can be refused for, each error with its stable code.

The status of each stands in `cidx_jobs.web.http.problems`.
"""

from collections.abc import Collection

from cidx_jobs.model.errors import RequestError, UnavailableError


class RouteNotFoundError(RequestError):
    """No route has this path."""

    code = "not_found"

    def __init__(self) -> None:
        """Build the one text there is (the path is the problem's `instance`)."""
        super().__init__("there is no route with this path")


class MethodNotAllowedError(RequestError):
    """A route has this path, but not with this method."""

    code = "method_not_allowed"

    def __init__(self, method: str, allowed: Collection[str]) -> None:
        """Name the method that came and those that are there."""
        known = sorted(allowed)
        super().__init__(
            f"{method} is not allowed here: use {', '.join(known)}", method=method, allowed=known
        )


class NotAcceptableError(RequestError):
    """The client takes none of the forms that the answer has."""

    code = "not_acceptable"

    def __init__(self, available: Collection[str]) -> None:
        """Name the forms there are."""
        super().__init__(f"available: {', '.join(available)}", available=list(available))


class RequestTimeoutError(RequestError):
    """The body did not come in time."""

    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        """Name the time that there was."""
        super().__init__(f"the body did not come within {seconds:g} seconds", seconds=seconds)


class BodyTooLargeError(RequestError):
    """The body is larger than any that makes sense here."""

    code = "body_too_large"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"a body has at most {limit} bytes", limit=limit)


class UnsupportedMediaTypeError(RequestError):
    """The body is not plain JSON in UTF-8."""

    code = "unsupported_media_type"

    def __init__(self, what: str) -> None:
        """Say what it is instead."""
        super().__init__(f"the body must be application/json in UTF-8, not {what}", received=what)


class TooManyStreamsError(UnavailableError):
    """The user, or the server, has as many open streams as there may be."""

    code = "too_many_streams"

    def __init__(self) -> None:
        """Build the one text there is."""
        super().__init__("too many streams are open; poll, or close one", retry_after_seconds=5)


class TooManyConnectionsError(UnavailableError):
    """The server has as many open connections as there may be."""

    code = "too_many_connections"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(
            f"{limit} connections are open, and no more may be: try again later",
            retry_after_seconds=5,
            limit=limit,
        )


class RateLimitedError(UnavailableError):
    """The user, or the address of somebody unknown, asks more often than they may."""

    code = "rate_limited"

    def __init__(self, wait_seconds: int) -> None:
        """Name the time after which to ask again."""
        super().__init__(
            f"too many requests: ask again in {wait_seconds} seconds",
            retry_after_seconds=wait_seconds,
            wait_seconds=wait_seconds,
        )


class NotReadyError(UnavailableError):
    """The server does not take work now."""

    code = "not_ready"

    def __init__(self, reasons: Collection[str]) -> None:
        """Name the reasons, as codes."""
        super().__init__(
            f"not ready: {', '.join(reasons)}",
            retry_after_seconds=2,
            status="not_ready",
            reasons=list(reasons),
        )
