"""The text of a file's bytes, in whatever encoding it was written; or why there is none."""

import codecs
import re

import charset_normalizer

BINARY = "binary"
ENCODING = "encoding"

_SNIFFED_BYTES = 8_000
"""As far as git looks for a NUL."""
_GUESSED_BYTES = 64 * 1024
_MAX_UNDECODABLE = 0.3
_FEW = 0.2
"""In a Western text fewer letters than this share are none of ASCII."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# The longer ones first: the mark of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = "cp1252"
# In all of these the words of ASCII are themselves, so they are found whatever is guessed.
_OLD_ENCODINGS = [
    *("cp1251", "koi8_r", "koi8_u", "iso8859_5", "cp866", "mac_cyrillic"),
    *("shift_jis", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp949"),
    *("cp1250", "iso8859_2", "cp1253", "iso8859_7", "cp1255", "cp1256", "cp1257", "cp874"),
    *("tis_620", "cp1252"),
]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,39}")
# Python's own, which are no encodings of files; some of them take very long.
_NO_ENCODINGS = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
_WITH_NULS = ("utf-16", "utf-32")


def decode(data: bytes, named: str | None = None) -> tuple[str, None] | tuple[None, str]:
    """Return the text of a file and None, or None and the reason why it has none.

    A byte order mark decides; then whether it is UTF-8; then what the repository calls the
    encoding; then a guess. Binary is what holds a NUL where git looks for one.

    Args:
        data: the bytes of the file.
        named: what ``.gitattributes`` calls its encoding; hostile.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data[len(mark) :], encoding)
    name = _find_codec(named)
    if b"\0" in data[:_SNIFFED_BYTES]:
        text = _try(data, name) if name and name.startswith(_WITH_NULS) else None
        return (_clean(text), None) if text is not None else (None, BINARY)
    text = _try(data, "utf-8")
    if text is None and name is not None:
        text = _try(data, name)
    return _clean(_guess(data) if text is None else text), None


def _decode_marked(data: bytes, encoding: str) -> tuple[str, None] | tuple[None, str]:
    text = data.decode(encoding, "replace")
    if text.count(_REPLACEMENT) > _MAX_UNDECODABLE * len(text):
        return None, ENCODING
    if "\0" in text[:_SNIFFED_BYTES]:
        return None, BINARY
    return _clean(text), None


def _guess(data: bytes) -> str:
    """Return the text of bytes that are no UTF-8.

    Whoever guesses takes short Western texts for Chinese ones, so they are told apart first.
    """
    encoding = _WESTERN
    foreign = len(data) - len(data.translate(None, bytes(range(0x80, 0x100))))
    if foreign >= _FEW * len(data):
        sample = data[:_GUESSED_BYTES]
        best = charset_normalizer.from_bytes(sample, cp_isolation=_OLD_ENCODINGS).best()
        encoding = best.encoding if best is not None else _WESTERN
    return data.decode(encoding, "replace")


def _find_codec(named: str | None) -> str | None:
    """Return what Python calls an encoding, or None for what is no encoding of files."""
    if named is None or not _NAME.fullmatch(named):
        return None
    try:
        name = codecs.lookup(re.sub(r"-?BOM$", "", named, flags=re.IGNORECASE)).name
    except LookupError:
        return None
    return None if name.replace("-", "_") in _NO_ENCODINGS else name


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        # The second: it turns bytes into bytes, as base64 does.
        return None


def _clean(text: str) -> str:
    return text.replace("\0", _REPLACEMENT)
