"""Standard Webhooks (standardwebhooks.com): secrets, and signatures made by them."""

import base64
import binascii
import hmac
import secrets

PREFIX = "whsec_"
"""What the text of a secret begins with."""
TOLERANCE_SECONDS = 300
"""How far the time of a message may be from now, either way."""

_SECRET_BYTES = 32


def make_secret() -> str:
    """Return a new secret: the prefix, and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a message, as it stands in ``webhook-signature``.

    Args:
        secret: as `make_secret` gave it; its decoded bytes are the key.
        message_id: the same for every try of a message.
        timestamp: of this try, in Unix seconds.
        body: as it is sent.
    """
    signed = b".".join((_bytes(message_id), _bytes(timestamp), body))
    digest = hmac.digest(_key(secret), signed, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        message = "this is no secret of a webhook"
        raise ValueError(message) from error


def _bytes(header: str) -> bytes:
    # As it came: aiohttp keeps bytes of a header that are no UTF-8 so.
    return header.encode("utf-8", "surrogateescape")
