"""Settings of the ways in, the keys of others' tokens, and what proxies say."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from cidx_jobs.engine.access.verification_keys import read_verification_keys
from cidx_jobs.interfaces.access import Credentials, Identity
from cidx_jobs.model.errors import SettingsError
from cidx_jobs.settings import Settings
from cidx_jobs.web.access.jwt import JwtAuthenticator, read_keys
from cidx_jobs.web.access.proxy_peers import ProxyPeers
from tests.fakes import FakeClock

RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())
SECRET = "s" * 32
SIGNED: dict[str, Any] = {"auth": "jwt", "jwt_key": SECRET, "jwt_algorithm": "HS256"}
BEHIND: dict[str, Any] = {"auth": "proxy", "proxy_header": "X-User", "proxy_peers": "10.0.0.0/8"}


def pem(key: Any) -> bytes:
    """Return the public half of a key."""
    made: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return made


def as_set(*members: dict[str, Any]) -> bytes:
    """Return a JWKS."""
    return json.dumps({"keys": members}).encode()


def rsa_member(**more: Any) -> dict[str, Any]:
    """Return the RSA key as a member of a set."""
    return {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), **more}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"auth": "tokens", "proxy_peers": "127.0.0.1,::1,10.0.0.0/8"},
        SIGNED,
        SIGNED | {"jwt_audience": "a", "jwt_issuer": "b", "jwt_user_claim": "username"},
        SIGNED | {"proxy_peers": "127.0.0.1", "public_url": "https://example.org/cidx/"},
        BEHIND,
        BEHIND | {"proxy_scope_header": "X-Scopes"},
        {"auth": "proxy", "proxy_header": "X-User", "unix_socket": "/run/cidx.sock"},
    ],
)
def test_a_way_in_has_settings_of_its_own(values: dict[str, Any]) -> None:
    """They are taken where that way is in force."""
    settings = Settings(**values)

    assert settings.auth_mode == (values.get("auth") or "none")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"jwt_key": SECRET}, "jwt_key"),
        ({"auth": "tokens", "jwt_algorithm": "HS256"}, "jwt_algorithm"),
        ({"auth": "tokens", "jwt_user_claim": "sub"}, "jwt_user_claim"),
        ({"auth": "tokens", "jwt_scope_claim": "scope"}, "jwt_scope_claim"),
        ({"auth": "tokens", "proxy_header": "X-User"}, "proxy_header"),
        ({"auth": "none", "proxy_scope_header": "X-Scopes"}, "proxy_scope_header"),
        ({"auth": "none", "proxy_peers": "127.0.0.1"}, "proxy_peers"),
        (SIGNED | {"proxy_header": "X-User"}, "proxy_header"),
        (BEHIND | {"jwt_issuer": "x"}, "jwt_issuer"),
        ({"auth": "jwt", "jwt_algorithm": "HS256"}, "jwt_key"),
        (SIGNED | {"jwt_key_file": "x"}, "jwt_key_file"),
        ({"auth": "jwt", "jwt_key": SECRET}, "jwt_algorithm"),
        (SIGNED | {"jwt_algorithm": "none"}, "jwt_algorithm"),
        (SIGNED | {"jwt_algorithm": "HS512"}, "jwt_algorithm"),
        ({"auth": "proxy", "proxy_peers": "10.0.0.1"}, "proxy_header"),
        ({"auth": "proxy", "proxy_header": "X-User"}, "proxy_peers"),
        (BEHIND | {"proxy_header": "X User"}, "proxy_header"),
        (BEHIND | {"proxy_scope_header": "x-user"}, "proxy_scope_header"),
        (BEHIND | {"proxy_peers": "example.org"}, "proxy_peers"),
        ({"public_url": "example.org"}, "public_url"),
        ({"public_url": "https://u@example.org"}, "public_url"),
        ({"public_url": "https://example.org/?q"}, "public_url"),
    ],
)
def test_what_a_way_in_has_not_or_lacks_is_refused(values: dict[str, Any], name: str) -> None:
    """The text names the setting; also where the value is the default."""
    with pytest.raises(SettingsError) as caught:
        Settings(**values)

    assert name in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("jwt_key", ""), ("jwt_user_claim", "sub"), ("proxy_header", ""), ("proxy_peers", "")],
)
def test_a_setting_of_another_way_in_is_refused_when_given_at_all(name: str, value: str) -> None:
    """Also with nothing, or with the default: somebody means what this server does not do."""
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.load(environ={f"CIDX_JOBS_{name.upper()}": value})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("retention_seconds", "7d", 604_800),
        ("shutdown_grace_seconds", "90s", 90),
        ("default_timeout_seconds", "1.5", 1.5),
        ("max_file_bytes", "512K", 524_288),
        ("max_repository_bytes", "2G", 2**31),
        ("max_repository_bytes", "1.5 GiB", 3 * 2**29),
        ("max_file_bytes", "1024", 1_024),
        ("min_free_bytes", "2G", 2**31),
        ("git_min_bytes_per_second", "1K", 1_024),
    ],
)
def test_durations_and_sizes_are_read_as_people_write_them(
    name: str, text: str, value: float
) -> None:
    """In variables and in the file; numbers are seconds and bytes."""
    assert getattr(Settings.load(environ={f"CIDX_JOBS_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"), [("retention_seconds", "7 days"), ("max_file_bytes", "1X")]
)
def test_what_is_no_duration_or_size_is_refused(name: str, text: str) -> None:
    """The setting is named."""
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.load(environ={f"CIDX_JOBS_{name.upper()}": text})


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    """Who mistypes a setting need not look it up."""
    with pytest.raises(SettingsError, match=r"^jwt_algoritm: .*did you mean jwt_algorithm\?"):
        Settings.load(environ={"CIDX_JOBS_JWT_ALGORITM": "HS256"})


def test_a_key_is_shown_nowhere() -> None:
    """Not where the settings are printed, in a traceback say."""
    settings = Settings.load(environ={f"CIDX_JOBS_{k.upper()}": v for k, v in SIGNED.items()})

    assert settings.jwt_key == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("material", "algorithm", "key"),
    [
        (SECRET.encode() + b"\n", "HS256", SECRET),
        (pem(RSA), "RS256", RSA),
        (pem(EC), "ES256", EC),
        (as_set(rsa_member()), "RS256", RSA),
        (as_set(rsa_member(kid="a", use="sig", alg="RS256")), "RS256", RSA),
        (as_set(ECAlgorithm.to_jwk(EC.public_key(), as_dict=True)), "ES256", EC),
        (as_set(RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"key_ops": ["verify"]}), "RS256", RSA),
        (
            as_set({"kty": "oct", "k": "c3Nz" * 10 + "c3M"}),
            "HS256",
            SECRET,
        ),
    ],
)
def test_a_key_verifies_what_was_signed_with_it(material: bytes, algorithm: str, key: Any) -> None:
    """A secret, a public key, or one of a set; its name in the set is the token's."""
    keys = read_verification_keys(material, algorithm)
    kid = next(iter(keys.by_kid))
    text = jwt.encode({"sub": "ann"}, key, algorithm, {} if kid is None else {"kid": kid})

    assert keys.read(text) == {"sub": "ann"}


@pytest.mark.parametrize("headers", [{}, {"kid": "b"}, {"kid": ""}, {"kid": "a "}])
def test_a_token_names_its_key_of_a_set(headers: dict[str, str]) -> None:
    """Without the name, or with another, it was signed by nobody."""
    keys = read_verification_keys(as_set(rsa_member(kid="a")), "RS256")

    assert keys.read(jwt.encode({"sub": "ann"}, RSA, "RS256", headers)) is None


@pytest.mark.parametrize(
    ("material", "algorithm"),
    [
        (b"", "HS256"),
        (b"s" * 31, "HS256"),
        (pem(RSA), "HS256"),
        (pem(RSA), "ES256"),
        (pem(EC), "RS256"),
        (pem(rsa.generate_private_key(65_537, 1_024)), "RS256"),  # noqa: S505 - refused
        (pem(ec.generate_private_key(ec.SECP384R1())), "ES256"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "ES256"),
        (RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "RS256"),
        (b"-----BEGIN PUBLIC KEY-----", "RS256"),
        (b"{}", "RS256"),
        (b"{", "RS256"),
        (b'{"keys": 1}', "RS256"),
        (b'{"keys": [1]}', "RS256"),
        (as_set(), "RS256"),
        (as_set(rsa_member(use="enc")), "RS256"),
        (as_set(rsa_member(alg="RS512")), "RS256"),
        (as_set(rsa_member(kid=1)), "RS256"),
        (as_set(rsa_member(kid="a"), rsa_member(kid="a")), "RS256"),
        (as_set(rsa_member(n="AQ")), "RS256"),
        (as_set({"kty": "oct", "k": "c2hvcnQ"}), "HS256"),
    ],
)
def test_what_is_no_key_of_the_algorithm_is_refused(material: bytes, algorithm: str) -> None:
    """Too short, of another kind, private, doubled, or not to be read."""
    with pytest.raises(ValueError, match=r"key|JWKS|secret|PEM") as caught:
        read_verification_keys(material, algorithm)

    assert "BEGIN" not in str(caught.value)


def test_a_key_that_cannot_be_used_is_told_by_its_setting(tmp_path: Path) -> None:
    """Before the server starts, and as it starts."""
    settings = Settings(auth="jwt", jwt_key_file=tmp_path / "none", jwt_algorithm="RS256")

    with pytest.raises(SettingsError, match=r"jwt_key_file: .*cannot be read"):
        read_keys(settings)


def test_an_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it."""
    monkeypatch.setattr("cidx_jobs.model.late_imports.find_spec", lambda _: None)

    with pytest.raises(SettingsError, match=r"pip install 'cidx_jobs\[accounts\]'"):
        read_keys(Settings(**SIGNED))


async def test_another_key_file_counts_from_then_on(tmp_path: Path) -> None:
    """What the old key signed is refused, also what was verified before; half a file is not."""
    file, clock = tmp_path / "key", FakeClock()
    file.write_text(SECRET)
    settings = Settings(auth="jwt", jwt_key_file=file, jwt_algorithm="HS256")
    door = JwtAuthenticator(settings, clock)
    claims = {"sub": "ann", "exp": int(clock.now().timestamp()) + 60}
    old, new = (jwt.encode(claims, key, "HS256") for key in (SECRET, "t" * 32))

    async def opens(text: str) -> bool:
        clock.advance(2)
        headers = {"Authorization": f"Bearer {text}"}
        who = Credentials(authorization=headers["Authorization"], headers=headers, peer=None)
        return await door.authenticate(who) == Identity(user_id="ann")

    first = [await opens(old), await opens(new)]
    file.write_text("half")
    half = [await opens(old), await opens(new)]
    file.write_text("t" * 32)
    second = [await opens(old), await opens(new)]

    assert (first, half, second) == ([True, False], [True, False], [False, True])


async def test_a_verified_token_ends_with_its_time() -> None:
    """It is kept by its digest, and no longer than it is good."""
    clock = FakeClock()
    door = JwtAuthenticator(Settings(**SIGNED), clock)
    claims = {"sub": "ann", "exp": clock.now().timestamp() + 5}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    who = Credentials(authorization=headers["Authorization"], headers=headers, peer=None)

    before = await door.authenticate(who), await door.authenticate(who)
    clock.advance(5)
    after = await door.authenticate(who)

    assert before == (Identity(user_id="ann"), Identity(user_id="ann"))
    assert after is None


@pytest.mark.parametrize(
    ("peer", "noted", "address"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.5, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.9", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.7, 10.0.0.9", "10.0.0.7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
    ],
)
def test_the_address_is_the_clients(peer: str, noted: str, address: str) -> None:
    """The last one that a listed proxy wrote down; what others say of themselves is nothing."""
    peers = ProxyPeers(Settings(auth="tokens", proxy_peers=("10.0.0.0/8",)))
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": noted})

    assert peers.address(request.clone(remote=peer)) == address


@pytest.mark.parametrize(
    ("peer", "said", "prefix"),
    [
        ("10.0.0.1", "/cidx", "/cidx"),
        ("10.0.0.1", "/a/b/", "/a/b"),
        ("10.0.0.1", "//example.org", None),
        ("10.0.0.1", "/<script>", None),
        ("10.0.0.1", "/" + "x" * 300, None),
        ("10.0.0.1", "cidx", None),
        ("192.0.2.1", "/cidx", None),
    ],
)
def test_the_prefix_is_what_a_listed_proxy_says(peer: str, said: str, prefix: str | None) -> None:
    """What is no path is passed over."""
    peers = ProxyPeers(Settings(auth="tokens", proxy_peers=("10.0.0.0/8",)))
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-Prefix": said})

    assert peers.prefix(request.clone(remote=peer)) == prefix
