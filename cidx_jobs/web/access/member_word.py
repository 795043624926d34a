"""Header of a request that another process of the directory hands on: who made it, from where.

It stands in a header of its own, beside those of the client; `members` says where it is believed.
"""

import base64
import binascii
from typing import Self

import msgspec
from aiohttp import web
from yarl import URL

from cidx_jobs.interfaces.access import Identity

HEADER = "X-Cidx-Jobs-Member"


class MemberWord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who made a request, where from, and where the routes stand for them."""

    token: str
    """That of the directory."""
    member: str
    """Which process hands the request on."""
    user_id: str | None = None
    """Whom the host knows; None for nobody."""
    scopes: tuple[str, ...] = ()
    is_unknown: bool = False
    """The member cannot tell who it is: the request carries a token of ours, or none."""
    address: str | None = None
    scheme: str = "http"
    path: str
    """As the client asked for it."""
    outer_prefix: str = ""
    prefix: str = ""
    root: str = ""
    """These three as `Call` has them."""

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """Return what the value of the header says; None where it says nothing."""
        try:
            return msgspec.json.decode(base64.b64decode(text), type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None

    def encode(self) -> str:
        """Return it as the value of the header."""
        return base64.b64encode(msgspec.json.encode(self)).decode()

    @property
    def identity(self) -> Identity | None:
        """Whom the host knows."""
        return None if self.user_id is None else Identity(self.user_id, frozenset(self.scopes))


WORD: web.RequestKey[MemberWord] = web.RequestKey("cidx_jobs_member_word")
"""The word of a member, once it is believed."""


def word_of(request: web.Request) -> MemberWord | None:
    """Return the word of the member who handed the request on; None where nobody did."""
    # Whether a mapping lacks something takes aiohttp's request a microsecond to tell, and most
    # requests hold nothing.
    return request.get(WORD) if len(request) else None


def path_of(request: web.Request) -> URL:
    """Return the path and the query of the request, as its client asked for them."""
    word = word_of(request)
    if word is None:
        return request.rel_url
    return request.rel_url.with_path(word.path, encoded=True, keep_query=True)
