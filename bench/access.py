"""What does it cost to come in, and does a login tell by its time who has an account?

Ways in are asked in this process, in turn, so that the network adds nothing. For the flood the
server is a process of its own, and both it and those who log in share the machine.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import aiohttp
import jwt

from bench.harness import Bench
from bench.people import running_server
from cidx_jobs import JobSystem, Settings
from cidx_jobs.interfaces.access import Authenticator, Credentials
from cidx_jobs.model.errors import InvalidCredentialsError
from cidx_jobs.model.ids import UserId
from cidx_jobs.store.tokens import make_token
from cidx_jobs.web.access.authenticators import make_token_authenticator
from cidx_jobs.web.access.jwt import JwtAuthenticator

CALLS = 2_000
LOGINS = 40
"""Pairs of refused logins in a round; each takes tens of milliseconds of a core."""
FLOOD_SECONDS = 4.0
FLOODERS = 50
PAUSE_SECONDS = 0.01
PASSWORD = "correct horse"  # noqa: S105 - of nobody
SECRET = "s" * 32


def main() -> None:
    """Measure in turn, in one run."""
    with Bench("access") as bench, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure_ways_in(bench, Path(folder) / "ways"))
        asyncio.run(measure_refusals(bench, Path(folder) / "refusals"))
        with running_server(Path(folder)) as url:
            asyncio.run(measure_flood(bench, url))


async def measure_ways_in(bench: Bench, folder: Path) -> None:
    """Ask who a token is, again and again: one of ours, a login of ours, another server's."""
    settings = Settings(
        data_dir=folder, auth="jwt", jwt_key=SECRET, jwt_algorithm="HS256", jwt_user_claim="sub"
    )
    async with JobSystem.open(settings) as jobs:
        text, token = make_token(UserId("alice"), "write", now=jobs.clock.now())
        await jobs.persistence.tokens.save_token(token)
        await jobs.accounts.add("alice", password=PASSWORD, scope="write")
        login = await jobs.accounts.log_in("alice", PASSWORD, address=None)
        until = datetime.now(UTC) + timedelta(hours=1)
        others = jwt.encode({"sub": "alice", "exp": until}, SECRET, algorithm="HS256")
        ours = make_token_authenticator(jobs)
        theirs = JwtAuthenticator(settings, jobs.clock)
        await theirs.open()
        taken = await bench.paired_async(
            {
                "to know an opaque token": repeated(ours, text),
                "to know a login": repeated(ours, login.token),
                "to know a token of another server": repeated(theirs, others),
            },
            unit="µs",
        )
        await ours.close()
    opaque, *signed = taken.values()
    for figure in signed:
        more = [a - b for a, b in zip(figure.values, opaque.values, strict=True)]
        bench.figure(f"{figure.name}, more than an opaque one", more, unit="µs", at_most=60)


def repeated(authenticator: Authenticator, text: str) -> Callable[[], Awaitable[float]]:
    """Return a call that asks many times whose the token is, and gives the median in µs."""
    credentials = Credentials(authorization=f"Bearer {text}", headers={}, peer=None)

    async def ask() -> float:
        taken = []
        for _ in range(CALLS):
            began = time.perf_counter()
            identity = await authenticator.authenticate(credentials)
            taken.append(time.perf_counter() - began)
            assert identity is not None
        return statistics.median(taken) * 1e6

    return ask


async def measure_refusals(bench: Bench, folder: Path) -> None:
    """Refuse known and unknown users in turn, in an order that is tossed for each pair."""
    async with JobSystem.open(Settings(data_dir=folder, auth="tokens")) as jobs:
        await jobs.accounts.add("alice", password=PASSWORD, scope="write")
        order = random.Random(0)
        for _ in range(2):
            await refuse(jobs, "alice", "192.0.2.1")
        wrong, unknown, differences = [], [], []
        for number in range(bench.rounds * LOGINS):
            users = ["alice", "nobody"]
            order.shuffle(users)
            # Each try from elsewhere: none is refused for the ones before it.
            taken = {user: await refuse(jobs, user, f"198.51.100.{number}") for user in users}
            wrong.append(taken["alice"])
            unknown.append(taken["nobody"])
            differences.append(taken["alice"] - taken["nobody"])
    bench.figure("a wrong password", wrong, unit="ms")
    bench.figure("an unknown user", unknown, unit="ms")
    bench.figure("a wrong password less an unknown user, in pairs", differences, unit="ms")
    drawn = [
        statistics.median(random.choices(differences, k=len(differences))) for _ in range(1_000)
    ]
    low, *_, high = statistics.quantiles(drawn, n=40)
    bench.figure("95 % interval of the median of that", [low, high], unit="ms")


async def refuse(jobs: JobSystem, user_id: str, address: str) -> float:
    """Try a wrong password, and give the milliseconds until it is refused."""
    began = time.perf_counter()
    try:
        await jobs.accounts.log_in(user_id, "wrong horse", address=address)
    except InvalidCredentialsError:
        return (time.perf_counter() - began) * 1_000
    message = "a wrong password was taken"
    raise AssertionError(message)


async def measure_flood(bench: Bench, url: str) -> None:
    """Ask whether the server is alive, with and without many who try passwords."""
    quiet, flooded = [], []
    async with aiohttp.ClientSession(url) as http:
        for _ in range(bench.rounds):
            quiet.append(await slowest_answers(http))
            flood = [
                asyncio.create_task(try_passwords(http, number)) for number in range(FLOODERS)
            ]
            flooded.append(await slowest_answers(http))
            for one in flood:
                one.cancel()
            await asyncio.wait(flood)
    bench.figure("/livez, p99", quiet, unit="ms")
    bench.figure(f"/livez while {FLOODERS} try passwords, p99", flooded, unit="ms", at_most=50)


async def slowest_answers(http: aiohttp.ClientSession) -> float:
    """Ask for some seconds, and give the 99th percentile in milliseconds."""
    taken, until = [], time.perf_counter() + FLOOD_SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        async with http.get("/livez") as answer:
            assert answer.status == HTTPStatus.OK
        taken.append((time.perf_counter() - began) * 1_000)
        await asyncio.sleep(PAUSE_SECONDS)
    return statistics.quantiles(taken, n=100)[-1]


async def try_passwords(http: aiohttp.ClientSession, number: int) -> None:
    """Log in with one wrong name after the other."""
    tries = 0
    while True:
        tries += 1
        body = {"username": f"user-{number}-{tries}", "password": "wrong horse"}
        async with http.post("/auth/login", json=body) as answer:
            await answer.read()


if __name__ == "__main__":
    main()
