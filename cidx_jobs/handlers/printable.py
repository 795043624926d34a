"""Foreign text, made fit for messages, logs and terminals."""

_MAX_CHARACTERS = 200


def printable(text: str, max_characters: int = _MAX_CHARACTERS) -> str:
    """Give *text* with control characters, direction marks and the like as escapes.

    A longer text loses its middle.
    """
    shown = "".join(part if part.isprintable() else _escaped(part) for part in text)
    if len(shown) <= max_characters:
        return shown
    half = (max_characters - 1) // 2
    return f"{shown[:half]}…{shown[-half:]}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
