"""What a hostile git host answers: one trick a sync, each with other numbers every time."""

from collections.abc import Callable, Mapping
from random import Random

from tests.git_server import GitServer
from tests.made_packs import MadePack, line

MAX_FILES = 50
MAX_REPOSITORY_BYTES = 400_000
GIT_MEMORY_MEBIBYTES = 128
"""What the tortured server takes; the tricks go beyond it."""

_NOWHERE = "ab" * 20
_PACK = line(b"packfile\n")
_PARTS = ("refs", "branches", "pack")
_NAMES = (b"../up", b".git", b"\x1b[31mred", b"a\nb", b"\xff\xfe", "\u202egpj".encode(), b"-x")

Trick = Callable[[GitServer, Random], str]
"""Prepares the host, and returns the path at which it plays the trick."""


def play(host: GitServer, trick: str, random: Random) -> str:
    """Have the host play a trick, and return the URL of it."""
    host.made, host.progress = make_good(random), b""
    host.spoil = lambda _, body: body
    return host.url + TRICKS[trick](host, random)


def make_good(random: Random) -> MadePack:
    """Return a pack with which nothing is wrong."""
    pack = MadePack()
    text = pack.add("blob", b"good %d\n" % random.randrange(10**9))
    pack.commit(pack.add_tree([("100644", b"a.txt", text)]))
    return pack


def _be_good(host: GitServer, random: Random) -> str:
    del host, random
    return "/made/x"


def _lack_a_file(host: GitServer, random: Random) -> str:
    host.made = pack = MadePack()
    junk = pack.add("blob", random.randbytes(100_000))
    pack.commit(pack.add_tree([("100644", b"a", _NOWHERE), ("100644", b"b", junk)]))
    return "/made/x"


def _have_too_many_files(host: GitServer, random: Random) -> str:
    host.made = pack = MadePack()
    junk = pack.add("blob", random.randbytes(100_000))
    names = [f"{number:05}".encode() for number in range(MAX_FILES + random.randint(1, 500))]
    pack.commit(pack.add_tree([("100644", name, junk) for name in names]))
    return "/made/x"


def _be_too_large(host: GitServer, random: Random) -> str:
    host.made = pack = MadePack()
    junk = pack.add("blob", random.randbytes(MAX_REPOSITORY_BYTES + random.randrange(10**6)))
    pack.commit(pack.add_tree([("100644", b"a", junk)]))
    return "/made/x"


def _swell(host: GitServer, random: Random) -> str:
    host.made = pack = MadePack()
    pack.add_zeros("blob", GIT_MEMORY_MEBIBYTES + random.randint(0, 64))
    pack.commit(pack.add_tree([("100644", b"a", _NOWHERE)]))
    return "/made/x"


def _name_files_badly(host: GitServer, random: Random) -> str:
    host.made = pack = MadePack()
    text = pack.add("blob", b"x\n")
    names = sorted({random.choice(_NAMES), b"n" * random.randint(1, 9_000)})
    pack.commit(pack.add_tree([("100644", name, text) for name in names]))
    return "/made/x"


def _garble(host: GitServer, random: Random) -> str:
    wanted, count = random.choice(_PARTS), random.randint(1, 8)

    def spoil(part: str, body: bytes) -> bytes:
        spoiled = bytearray(body)
        for _ in range(count if part == wanted else 0):
            spoiled[random.randrange(len(spoiled))] = random.randrange(256)
        return bytes(spoiled)

    host.spoil = spoil
    return "/made/x"


def _cut(host: GitServer, random: Random) -> str:
    wanted = random.choice(_PARTS)
    host.spoil = lambda part, body: body[: random.randrange(len(body))] if part == wanted else body
    return "/made/x"


def _lie_about_lengths(host: GitServer, random: Random) -> str:
    wanted = random.choice(_PARTS)
    lie = random.choice([b"ffff", b"0001", b"0002", b"0003", b"-001", b"zzzz", b"fff0"])
    host.spoil = lambda part, body: lie + body[4:] if part == wanted else body
    return "/made/x"


def _name_packs_elsewhere(host: GitServer, random: Random) -> str:
    named = f"{random.randbytes(20).hex()} {host.elsewhere}\n".encode()
    section = line(b"packfile-uris\n") + line(named) + b"0001"
    host.spoil = lambda part, body: (
        body.replace(_PACK, section + _PACK, 1) if part == "pack" else body
    )
    return "/made/x"


def _redirect(host: GitServer, random: Random) -> str:
    del host, random
    return "/away/x"


def _name_branches_badly(host: GitServer, random: Random) -> str:
    head = host.made.head.encode()
    name = random.choice([*_NAMES, b"n" * 50_000, b"a..b", b"HEAD", b""])
    others = b"".join(
        line(head + b" refs/heads/%d\n" % number) for number in range(random.randint(0, 5_000))
    )
    named = line(head + b" HEAD symref-target:refs/heads/" + name + b"\n")
    answer = named + line(head + b" refs/heads/" + name + b"\n") + others + b"0000"
    host.spoil = lambda part, body: answer if part == "branches" else body
    return "/made/x"


def _talk_without_end(host: GitServer, random: Random) -> str:
    host.progress = random.choice([b"x", b"\x1b[2J", b"\xff", b"1% "]) * 2_000_000
    return "/made/x"


def _tell_odd_progress(host: GitServer, random: Random) -> str:
    numbers = (b"9" * 40, b"-1", b"1/0", b"nan", b"100")
    words = (b"Receiving objects: ", b"\x1b]0;title\x07", "\u202e".encode(), b"remote: error: ")
    host.progress = b"".join(
        random.choice(words) + random.choice(numbers) + b"% (" + random.choice(numbers) + b"/1)\r"
        for _ in range(200)
    )
    return "/made/x"


def _drip(host: GitServer, random: Random) -> str:
    del host, random
    return "/dripping/x"


def _answer_otherwise(host: GitServer, random: Random) -> str:
    del host
    statuses = (204, 301, 400, 401, 403, 404, 418, 429, 500, 503, 599)
    pages = ("/page/x", "/line/x", "/nothing/x", f"/status/{random.choice(statuses)}/x")
    return random.choice(pages)


TRICKS: Mapping[str, Trick] = {
    "good": _be_good,
    "packs elsewhere": _name_packs_elsewhere,
    "a file that is not there": _lack_a_file,
    "too many files": _have_too_many_files,
    "too large": _be_too_large,
    "odd file names": _name_files_badly,
    "garbled": _garble,
    "cut": _cut,
    "wrong lengths": _lie_about_lengths,
    "redirect": _redirect,
    "odd branches": _name_branches_badly,
    "progress without an end": _talk_without_end,
    "odd progress": _tell_odd_progress,
    "another answer": _answer_otherwise,
    "swelling": _swell,
    "dripping": _drip,
}
"""By its name, what a host may do to whoever fetches from it."""
