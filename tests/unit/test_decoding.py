"""The text of files in old and rare encodings, and what is no text."""

import codecs

import pytest

from cidx_jobs.store.index.decode import decode

JAPANESE = "needle 日本語のコメントです。検索できますか\n"
RUSSIAN = "needle Это русский текст, привет мир\n"
WESTERN = "/* Müller, Größe: needle */\nint main(void) { return 0; }\n"


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + b"needle\n",
        codecs.BOM_UTF16_LE + "needle\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "needle\n".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "needle\n".encode("utf-32-le"),
        codecs.BOM_UTF32_BE + "needle\n".encode("utf-32-be"),
    ],
)
def test_a_mark_decides(data: bytes) -> None:
    """The mark itself is no part of the text."""
    assert decode(data) == ("needle\n", None)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((RUSSIAN, name) for name in ("cp1251", "koi8-r", "cp866", "iso8859-5")),
        *((JAPANESE, name) for name in ("shift_jis", "euc_jp", "gb18030")),
        ("needle 한국어 주석 검색\n", "euc_kr"),
        ("needle שלום עולם\n", "cp1255"),
    ],
)
def test_the_words_of_ascii_are_found_in_old_encodings(text: str, encoding: str) -> None:
    """Whatever is guessed of the rest, in short and in long files."""
    for times in (1, 200):
        found, why = decode(text.encode(encoding) * times)
        assert why is None
        assert found is not None
        assert found.count("needle") == times


def test_a_western_text_is_western() -> None:
    """Few letters that are none of ASCII, so nothing is guessed."""
    assert decode(WESTERN.encode("latin-1")) == (WESTERN, None)


def test_a_long_text_is_told_by_its_beginning() -> None:
    """What is guessed of the first 64 KiB holds for the rest."""
    text, _ = decode((RUSSIAN * 4_000).encode("cp1251"))
    assert text == RUSSIAN * 4_000


@pytest.mark.parametrize(
    ("data", "named", "text"),
    [
        (RUSSIAN.encode("koi8-r"), "KOI8-R", RUSSIAN),
        ("needle\n".encode("utf-16-le"), "UTF-16LE", "needle\n"),
        (JAPANESE.encode("shift_jis"), "SHIFT-JIS", JAPANESE),
        # git stores such a file as UTF-8 already.
        (RUSSIAN.encode(), "KOI8-R", RUSSIAN),
        (WESTERN.encode("cp1252"), "ascii", WESTERN),
        (WESTERN.encode("cp1252"), "no-such", WESTERN),
        (WESTERN.encode("cp1252"), "punycode", WESTERN),
        (WESTERN.encode("cp1252"), "base64", WESTERN),
        (WESTERN.encode("cp1252"), "../../etc", WESTERN),
    ],
)
def test_the_name_that_a_repository_gives_counts(data: bytes, named: str, text: str) -> None:
    """Where the bytes are no UTF-8, and only where it is right."""
    assert decode(data, named) == (text, None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x7fELF\0\0", "binary"),
        (b"a" * 7_999 + b"\0", "binary"),
        (codecs.BOM_UTF16_LE + b"\0\xd8" * 100, "encoding"),
        (codecs.BOM_UTF16_LE + b"\0\0" * 100, "binary"),
    ],
)
def test_what_is_no_text_has_a_reason(data: bytes, why: str) -> None:
    """As git tells it, by a NUL; or since the encoding that it names is not its own."""
    assert decode(data) == (None, why)
