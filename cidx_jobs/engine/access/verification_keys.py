"""Keys that others' tokens are verified with, by PyJWT and cryptography (extra ``accounts``)."""

import json
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

MIN_SECRET_BYTES = 32
"""As many as an HS256 signature has (RFC 7518, 3.2)."""
MIN_RSA_BITS = 2_048
"""RFC 7518, 3.3."""

_KEY_TYPES = {"HS256": "oct", "RS256": "RSA", "ES256": "EC"}
_PEM = b"-----BEGIN "
_NOTHING_BUT_THE_SIGNATURE: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}

Key = bytes | RSAPublicKey | EllipticCurvePublicKey


class VerificationKeys(msgspec.Struct, frozen=True):
    """The keys of one algorithm, by their ``kid``; a key that stands alone has none, and any."""

    algorithm: str
    by_kid: Mapping[str | None, Key]
    is_set: bool
    """They came as a JWKS: the ``kid`` of a token must be that of a key."""

    def read(self, text: str) -> Mapping[str, Any] | None:
        """Return the claims of a token; None unless one of the keys signed it.

        Nothing of the claims themselves is checked. A token that asks for an extension of the
        format (``crit``) is refused: none is known here.
        """
        try:
            header = jwt.get_unverified_header(text)
            key = self.by_kid.get(header.get("kid") if self.is_set else None)
            if key is None or header.get("alg") != self.algorithm or "crit" in header:
                return None
            claims: Mapping[str, Any] = jwt.decode(
                text, key, algorithms=[self.algorithm], options=_NOTHING_BUT_THE_SIGNATURE
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        return claims


def read_verification_keys(material: bytes, algorithm: str) -> VerificationKeys:
    """Return the keys in a PEM, in a JWKS (RFC 7517), or in the bytes of a secret.

    Raises:
        ValueError: there is none for the algorithm; the text says why, and holds nothing of it.
    """
    stripped = material.strip()
    if stripped.startswith(b"{"):
        return VerificationKeys(algorithm, _read_set(stripped, algorithm), is_set=True)
    key = stripped if algorithm == "HS256" else _read_pem(stripped)
    _check(key, algorithm)
    return VerificationKeys(algorithm, {None: key}, is_set=False)


def _read_set(text: bytes, algorithm: str) -> Mapping[str | None, Key]:
    try:
        members = json.loads(text)["keys"]
        found = [one for one in members if _is_for(one, algorithm)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = "it is no JWKS"
        raise ValueError(message) from error
    if not found:
        message = f"there is no key for {algorithm} in the JWKS"
        raise ValueError(message)
    keys: dict[str | None, Key] = {}
    for member in found:
        kid = member.get("kid")
        if kid in keys:
            message = "two keys in the JWKS have the same kid"
            raise ValueError(message)
        keys[kid] = _read_member(member, algorithm)
    return keys


def _is_for(member: Any, algorithm: str) -> bool:
    if not isinstance(member, dict):
        return False
    kid, operations = member.get("kid"), member.get("key_ops", ["verify"])
    return (
        member.get("kty") == _KEY_TYPES[algorithm]
        and member.get("alg", algorithm) == algorithm
        and member.get("use", "sig") == "sig"
        and "verify" in operations
        and (kid is None or isinstance(kid, str))
    )


def _read_member(member: Mapping[str, Any], algorithm: str) -> Key:
    # A private key verifies as well, and is no reason to refuse the set: its public half counts.
    public = {name: value for name, value in member.items() if name not in _PRIVATE}
    whole = member if algorithm == "HS256" else public
    try:
        key: Any = jwt.PyJWK(dict(whole), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        message = "a key in the JWKS cannot be read"
        raise ValueError(message) from error
    _check(key, algorithm)
    made: Key = key
    return made


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


def _read_pem(material: bytes) -> Any:
    try:
        if b"BEGIN CERTIFICATE" in material:
            return x509.load_pem_x509_certificate(material).public_key()
        return load_pem_public_key(material)
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "it holds no public key in PEM form, and is no JWKS"
        raise ValueError(message) from error


def _check(key: Any, algorithm: str) -> None:
    match key:
        case bytes() if algorithm == "HS256":
            if key.startswith(_PEM):
                message = "a PEM is no secret: anybody may know it"
                raise ValueError(message)
            if len(key) < MIN_SECRET_BYTES:
                message = f"a key for HS256 has {MIN_SECRET_BYTES} bytes or more"
                raise ValueError(message)
        case RSAPublicKey() if algorithm == "RS256":
            if key.key_size < MIN_RSA_BITS:
                message = f"a key for RS256 has {MIN_RSA_BITS} bits or more"
                raise ValueError(message)
        case EllipticCurvePublicKey() if algorithm == "ES256":
            if key.curve.name != SECP256R1.name:
                message = "a key for ES256 is on the curve P-256"
                raise ValueError(message)
        case _:
            message = f"it is no key for {algorithm}"
            raise ValueError(message)
