"""Takes secrets and the server's paths out of texts that users, logs or backups will hold.

A text is cut before it is looked through, and each pattern takes time in proportion to the text:
what it holds was chosen by somebody else (tests measure each with its worst input).
"""

import re

MAX_CHARACTERS = 8_192
"""How much of a text is looked through; the rest is cut off before."""

_RULES = (
    (re.compile(r"cidxj_[A-Za-z0-9_-]+"), "[token]"),
    # A git host may repeat its own without a word before it that tells: these are the prefixes by
    # which scanners for secrets know the tokens of GitHub and GitLab.
    (
        re.compile(
            r"\b(?:gh[opsur]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-)[\w.-]{16,}"
        ),
        "[token]",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 [secret]"),
    # Not from the scheme's first letter on: "a.a.a." could begin one at every second character.
    (re.compile(r"://[^/\s@]+@"), "://[secret]@"),
    (
        re.compile(
            r"(?i)\b(?=[apst])(passw(?:or)?d|pwd|secret|token|api[_-]?key|authorization)"
            r"(\"?'?\s*+[=:]\s*+\"?'?)[^\s\"',;&]++"
        ),
        r"\1\2[secret]",
    ),
)
_PATH = re.compile(r"(?<![\w/:.~-])/(?:[\w.@+~-]++/)++[\w.@+~-]*+")


def redact(text: str) -> str:
    """Return *text* with tokens, passwords, ``user:pass@`` and absolute paths replaced.

    A text of more than `MAX_CHARACTERS` ends with the last whole word before.
    """
    return _PATH.sub("[path]", redact_secrets(text))


def redact_secrets(text: str) -> str:
    """Return *text* with tokens, passwords and ``user:pass@`` replaced: for the operator's log.

    A text of more than `MAX_CHARACTERS` is cut as `redact` cuts it.
    """
    text = _cut(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    # Half a word could be half a secret, which no pattern knows any more.
    words = text[:MAX_CHARACTERS].rsplit(None, 1)
    return f"{words[0]} …" if len(words) > 1 else "…"
