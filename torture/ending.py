"""How every torture run ends: faults off, everything becomes final, and then the accounts."""

import asyncio
import time
from typing import Any

from cidx_jobs.model.errors import StartRefusedError
from torture.ledger import Ledger
from torture.load import Load
from torture.server import Caller, NotReadyError, Server, Site, started
from torture.verify import check_answers, check_database, check_orphans, check_runs

ENDLESS = frozenset({"survive", "child", "wait", "fork"})
"""Jobs that run until somebody ends them."""

FINAL_SECONDS = 120.0
SECONDS_A_JOB = 0.05
"""What each job of a long run may add to it."""


async def close_accounts(site: Site, load: Load, *, per_user: int, total: int) -> dict[str, Any]:
    """Let everything become final on a healthy server, compare all accounts; give the counts."""
    ledger = load.ledger
    try:
        await _let_end(site, load)
        runs = await asyncio.to_thread(check_runs, site, ledger)
        rows = await asyncio.to_thread(
            lambda: check_database(site, ledger, per_user=per_user, total=total)
        )
    except (NotReadyError, StartRefusedError) as error:
        ledger.blame(f"nothing can be started with what is left: {error}")
        return {}
    return {"jobs": len(ledger.known), "runs": runs, "log_rows": rows}


async def end_endless(caller: Caller, ledger: Ledger) -> None:
    """Cancel every acknowledged job that would run or wait for ever."""
    for one in list(ledger.submitted.values()):
        is_endless = one.body["job_type"] in ENDLESS
        if one.job_id is None or not (is_endless or one.body["hold"]):
            continue
        if one.job_id in ledger.told_to_stop or one.job_id in ledger.stopped_waiting:
            continue
        answer = await caller.ask("POST", f"/api/jobs/{one.job_id}/cancel")
        if answer is None or answer.status not in {200, 202}:
            ledger.blame(f"job {one.job_id} cannot be cancelled: {answer}")
            continue
        ledger.note_cancel(one.job_id, answer.status)


async def _let_end(site: Site, load: Load) -> None:
    ledger = load.ledger
    async with started(site) as server, Caller(server) as caller:
        await check_orphans(site, server.life, ledger)
        await load.settle(caller)
        await load.settle(caller)
        if ledger.unknown:
            ledger.blame("a submit is refused by a healthy server")
        await end_endless(caller, ledger)
        await _until_all_final(caller, ledger)
        await check_answers(caller, ledger)
        await _examine(caller, ledger)
        code = await server.stop()
        if code != 0:
            ledger.blame(f"the healthy server stopped with code {code}: {server.lines[-3:]}")
        ledger.deaths[server.life] = time.monotonic()


async def _until_all_final(caller: Caller, ledger: Ledger) -> None:
    deadline = time.monotonic() + FINAL_SECONDS + SECONDS_A_JOB * len(ledger.known)
    for job_id in ledger.known:
        while (left := deadline - time.monotonic()) > 0:
            seconds = max(1, min(10, int(left)))
            answer = await caller.ask("GET", f"/api/jobs/{job_id}?wait={seconds}&until=done")
            if answer is None or answer.status != 200 or answer.document["done"]:
                break


async def _examine(caller: Caller, ledger: Ledger) -> None:
    answer = await caller.ask("GET", "/api/admin/doctor?deep=true")
    if answer is None or answer.status != 200 or not answer.document["ok"]:
        ledger.blame(f"doctor at the server: {answer}")


def blame_tracebacks(ledger: Ledger, server: Server) -> None:
    """Blame what the server shows of its inside; whatever happens to it, it has words for."""
    for line in server.lines:
        if "Traceback" in str(line):
            ledger.blame(f"the server shows a traceback: {line}")


def note_death(ledger: Ledger, server: Server, at: float) -> None:
    """Keep when a server was dead."""
    ledger.deaths[server.life] = at
