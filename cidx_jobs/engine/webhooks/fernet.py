"""Encryption of short texts by cryptography's Fernet (it comes with the extra ``accounts``)."""

import base64

from cryptography.fernet import Fernet, InvalidToken


def encrypt(text: str, key: bytes) -> str:
    """Return the text as nobody without the key (32 bytes) can read or change it."""
    return _fernet(key).encrypt(text.encode()).decode()


def decrypt(sealed: str, key: bytes) -> str | None:
    """Return the text; None unless it was encrypted with this key."""
    try:
        return _fernet(key).decrypt(sealed).decode()
    except InvalidToken:
        return None


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
