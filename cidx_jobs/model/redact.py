"""Takes secrets and the server's paths out of texts that users, logs or backups will hold."""

import re

_RULES = (
    (re.compile(r"cidxj_[A-Za-z0-9_-]+"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 [secret]"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]+@"), r"\1[secret]@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|pwd|secret|token|api[_-]?key|authorization)"
            r"(\"?'?\s*[=:]\s*\"?'?)[^\s\"',;&]+"
        ),
        r"\1\2[secret]",
    ),
)
_PATH = re.compile(r"(?<![\w/:.~-])/(?:[\w.@+~-]+/)+[\w.@+~-]*")


def redact(text: str) -> str:
    """Return *text* with tokens, passwords, ``user:pass@`` and absolute paths replaced."""
    return _PATH.sub("[path]", redact_secrets(text))


def redact_secrets(text: str) -> str:
    """Return *text* with tokens, passwords and ``user:pass@`` replaced: for the operator's log."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
