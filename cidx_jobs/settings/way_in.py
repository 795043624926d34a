"""Which settings belong to which way in, and what each way cannot do without."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from cidx_jobs.model.errors import SettingsError

_OF_MODE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # The ways in by which others say who a user is.
        "jwt": (
            "jwt_key",
            "jwt_key_file",
            "jwt_algorithm",
            "jwt_audience",
            "jwt_issuer",
            "jwt_user_claim",
            "jwt_scope_claim",
        ),
        "proxy": ("proxy_header", "proxy_scope_header"),
    }
)

_NO_PROXY = "proxy_peers: with auth = none no proxy may call"


def is_of_others(mode: str) -> bool:
    """Tell whether others say who a user is, so that nobody logs in with a password here."""
    return mode in _OF_MODE


def check_given(names: Iterable[str], mode: str) -> None:
    """Check which settings are given at all, if only with their defaults.

    Raises:
        SettingsError: one is that another way in has.
    """
    for owner, own in _OF_MODE.items():
        for name in sorted({*own} & {*names}):
            if owner != mode:
                _refuse(name, owner, mode)
    if mode == "none" and "proxy_peers" in names:
        raise SettingsError(_NO_PROXY)


def check_way_in(settings: Any, mode: str) -> None:
    """Check the settings of the ways in against the one that is in force.

    Raises:
        SettingsError: one is given that another way has, or one is lacking.
    """
    for owner, names in _OF_MODE.items():
        for name in names:
            if owner != mode and getattr(settings, name) is not None:
                _refuse(name, owner, mode)
    match mode:
        case "none":
            if settings.proxy_peers:
                raise SettingsError(_NO_PROXY)
        case "jwt":
            _check_jwt(settings)
        case "proxy":
            _check_proxy(settings)
        case _:
            return


def _refuse(name: str, owner: str, mode: str) -> NoReturn:
    message = f"{name}: this is for auth = {owner}, and auth is {mode}"
    raise SettingsError(message)


def _check_jwt(settings: Any) -> None:
    if (settings.jwt_key is None) == (settings.jwt_key_file is None):
        message = "auth: jwt needs either jwt_key or jwt_key_file"
        raise SettingsError(message)
    if settings.jwt_algorithm is None:
        message = "auth: jwt needs jwt_algorithm"
        raise SettingsError(message)


def _check_proxy(settings: Any) -> None:
    if settings.proxy_header is None:
        message = "auth: proxy needs proxy_header"
        raise SettingsError(message)
    if not settings.proxy_peers and settings.unix_socket is None:
        message = "auth: proxy needs proxy_peers, or a unix_socket"
        raise SettingsError(message)
    if settings.proxy_header.lower() == (settings.proxy_scope_header or "").lower():
        message = "proxy_scope_header: it is the same header as proxy_header"
        raise SettingsError(message)
