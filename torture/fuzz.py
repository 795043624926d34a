"""Requests that nobody would send, made from the API's own document."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import attrs

_NO_ID = "019a0000-0000-7000-8000-000000000000"
_TEXTS = (
    "",
    "p",
    "x" * 300,
    "\x00",
    "\u202egpj",
    "\ud800",
    "../../etc/passwd",
    "--upload-pack=x",
    "'; DROP TABLE jobs; --",
    "%00",
    "caf\u00e9",
    "\U0001f600",
    "a\r\nX: y",
    "(" * 50 + "a*" * 50,
    '"' * 9,
)
_NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**40, 0.5, 1e308, -0.0)
_URLS = (
    "https://example.org/a.git",
    "ext::sh -c x",
    "file:///etc",
    "http://127.1/x",
    "https://2130706433/x",
    "https://user:pass@example.org/x",
    "--upload-pack=x",
)
_RAW_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"a":1,"a":2}',
    b'{"project_id":NaN}',
    b'{"options":1e999}',
    b'{"labels":{"a":"\\ud800"}}',
    b'{"labels":{"\\u0000":"a"}}',
    b'{"a":' + b"[" * 10_000,
    b"1" * 60_000,
    b"x" * 70_000,
)
_TYPES = ("application/json", "application/json; charset=utf-8", "text/plain", "a/b/c", "")
_JOB_TYPES = ("count", "wait", "repository_sync", "nothing")
_MEMBERS: Mapping[str, Sequence[Any]] = {
    "job_type": _JOB_TYPES,
    "project_id": ("p", "q", "r"),
    "repository_url": _URLS,
    # Nobody waits for what waits.
    "wait": (0, 0.01, 1),
    "steps": (1, 2),
    "hold": (True, False),
}
"""Values of members and parameters with which a request comes further than to its refusal."""
_HEADERS: Mapping[str, Sequence[str]] = {
    "Origin": ("https://evil.example", "null", ""),
    "Host": ("evil.example", "localhost", "a b", ""),
    "Content-Encoding": ("gzip", "identity", "br"),
    "Expect": ("100-continue", "x"),
    "X-Forwarded-For": ("10.0.0.1",),
    "X-Request-Id": ("a", "x" * 5_000, "\u00ff"),
    "Accept": ("text/event-stream", "text/html", "*/*;q=0", "x"),
    "Range": ("bytes=0-",),
    "If-Match": ('"1"', "*", "x", '"' * 50),
    "If-None-Match": ('"1"', "*", "W/x"),
    "Idempotency-Key": ("k", "x" * 300, "\u00e9", ""),
    "Last-Event-ID": ("1", "-1", "9" * 50),
    "Prefer": ("wait=0", "wait=nan", "respond-async"),
    "Upgrade": ("websocket", "h2c"),
}
_OFTEN = ("/api/jobs", "/api/jobs/{job_id}", "/api/jobs/{job_id}/cancel", "/api/sync") * 2
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ELSEWHERE = (404, 405)


@attrs.frozen(kw_only=True)
class Request:
    """One request, and the statuses that its answer may have."""

    number: int
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    documented: frozenset[int]

    def __str__(self) -> str:
        """Show it in one line."""
        shown = f"{self.headers} {(self.body or b'')[:200]!r}"
        return f"request {self.number}: {self.method} {self.path[:300]} {shown}"


@attrs.frozen
class Requests:
    """Makes requests from an OpenAPI document; each is drawn by its number and the seed alone."""

    document: Mapping[str, Any]
    seed: str

    def make(self, number: int, known: Sequence[str], tokens: Sequence[str]) -> Request:
        """Return a request.

        Args:
            number: of the request.
            known: ids of jobs and tokens that there are.
            tokens: of callers; without any nobody logs in.
        """
        random = Random(f"{self.seed}:{number}")
        path = random.choice([*sorted(self.document["paths"]), *_OFTEN])
        methods = self.document["paths"][path]
        method = random.choice(sorted(methods))
        operation = methods[method]
        parameters = [each for each in operation["parameters"] if "in" in each]
        documented = {int(status) for status in operation["responses"]}
        filled = self._fill(path, parameters, known, random)
        if filled is None or random.random() < 0.03:
            filled = filled or path.replace("{", "%7B").replace("}", random.choice(["", "%2F.."]))
            method = random.choice(_METHODS)
            documented |= {*_ELSEWHERE, *self._of_all_methods(path)}
        body, headers = self._load(operation, random)
        return Request(
            number=number,
            method=method.upper(),
            path=filled + self._ask(parameters, random),
            headers=[*headers, *self._head(tokens, random)],
            body=body,
            documented=frozenset(documented),
        )

    def _of_all_methods(self, path: str) -> set[int]:
        operations = self.document["paths"][path].values()
        return {int(status) for each in operations for status in each["responses"]}

    def _fill(
        self, path: str, parameters: Sequence[Any], known: Sequence[str], random: Random
    ) -> str | None:
        """Return the path with its places filled, or None for one that leads elsewhere."""
        for one in parameters:
            if one["in"] != "path":
                continue
            values = [*known[-20:], _NO_ID, "p", "q"]
            value = random.choice(values) if random.random() < 0.7 else random.choice(_TEXTS)
            value = quote(value.encode("utf-8", "surrogatepass"), safe="")
            if not value or value.startswith(".") or "%2F" in value:
                return None
            path = path.replace(f"{{{one['name']}}}", value)
        return path

    def _ask(self, parameters: Sequence[Any], random: Random) -> str:
        names = [one["name"] for one in parameters if one["in"] == "query"]
        chosen = [name for name in names if random.random() < 0.3]
        chosen += random.sample(chosen, min(len(chosen), int(random.random() < 0.05)))
        chosen += ["nonsense"] if random.random() < 0.03 else []
        pairs = [
            (name, str(_pick(name, random)).encode("utf-8", "surrogatepass")) for name in chosen
        ]
        return f"?{urlencode(pairs)}" if pairs else ""

    def _load(
        self, operation: Mapping[str, Any], random: Random
    ) -> tuple[bytes | None, list[tuple[str, str]]]:
        described = operation.get("requestBody")
        if described is None and random.random() < 0.9:
            return None, []
        kind = "application/json" if random.random() < 0.9 else random.choice(_TYPES)
        if described is None or random.random() < 0.2:
            return random.choice(_RAW_BODIES), [("Content-Type", kind)]
        schema = described["content"]["application/json"]["schema"]
        value = self._value(schema, random, "", 0)
        if random.random() < 0.1 and isinstance(value, dict):
            value[random.choice(_TEXTS)] = random.choice(_TEXTS)
        # An escape may hold what no text in UTF-8 can.
        return json.dumps(value).encode(), [("Content-Type", kind)]

    def _value(self, schema: Mapping[str, Any], random: Random, name: str, depth: int) -> Any:
        """Return a value that fits the schema, or now and then one that does not."""
        if random.random() < 0.04 or depth > 5:
            return random.choice([None, True, [], {}, random.choice(_NUMBERS), _pick("", random)])
        if "$ref" in schema:
            named = schema["$ref"].rpartition("/")[2]
            return self._value(self.document["components"]["schemas"][named], random, name, depth)
        if name in _MEMBERS and random.random() < 0.8:
            return random.choice(_MEMBERS[name])
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            return self._value(random.choice(choices), random, name, depth)
        if "enum" in schema:
            return random.choice(schema["enum"])
        return self._of_type(schema, random, depth)

    def _of_type(self, schema: Mapping[str, Any], random: Random, depth: int) -> Any:
        kinds = schema.get("type")
        match random.choice(kinds) if isinstance(kinds, list) else kinds:
            case "object":
                required = schema.get("required", ())
                members = {
                    name: self._value(member, random, name, depth + 1)
                    for name, member in schema.get("properties", {}).items()
                    if name in required or random.random() < 0.15
                }
                if not members:
                    members = random.choice([{}, {"steps": "1"}, {random.choice(_TEXTS): "p"}])
                return members
            case "array":
                items = schema.get("items", {})
                return [self._value(items, random, "", depth + 1) for _ in range(2)]
            case "boolean":
                return random.random() < 0.5
            case "integer" | "number":
                return random.choice([1, 1, 2, 9, random.choice(_NUMBERS)])
            case "null":
                return None
            case _ if schema.get("format") == "date-time" and random.random() < 0.7:
                return "2026-01-31T12:00:00Z"
            case _:
                return _pick("", random)

    def _head(self, tokens: Sequence[str], random: Random) -> list[tuple[str, str]]:
        headers = [
            (name, random.choice(values))
            for name, values in _HEADERS.items()
            if random.random() < 0.02
        ]
        if tokens and random.random() < 0.95:
            headers.append(("Authorization", f"Bearer {random.choice(tokens)}"))
        elif random.random() < 0.05:
            headers.append(
                ("Authorization", random.choice(["Bearer", "Basic x", "Bearer \u00e9"]))
            )
        return headers


def _pick(name: str, random: Random) -> Any:
    if name in _MEMBERS:
        return random.choice(_MEMBERS[name])
    return random.choice([*_TEXTS, *map(str, _NUMBERS)]) if random.random() < 0.3 else "p"
