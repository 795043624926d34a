"""What the document of the API promises, a real server keeps: asked by schemathesis.

It sends what the document allows, its edges, and what it forbids, and looks at each answer: no
server error, only statuses, types, headers and documents that are described, and nothing that
is described as wrong is taken. What it finds comes with a ``curl`` line that shows it again.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.functional.test_serve import Server, server

CONFIG = Path(__file__).parents[1] / "data" / "schemathesis.toml"
SEED = "20260131"
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "3")
"""How many random requests for each operation, besides the examples and the edges."""
PATIENCE_SECONDS = 300.0

# What these do would hide the answers of the others: they are asked last.
DISTURBING = ("pause", "resume", "drain", "endDrain", "revokeToken")

# That all that is allowed is taken is not promised: a cursor, say, must be one of ours.
CHECKS = ("--checks", "all", "--exclude-checks", "positive_data_acceptance")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_SECONDS)]


async def ask(running: Server, method: str, path: str, **more: Any) -> Any:
    """Give the document of an answer to an administrator."""
    token = (running.data_dir / "admin.token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}"}
    status, document = await running.ask(method, path, headers=headers, **more)
    assert status < 300, document
    return document


async def fill(running: Server) -> None:
    """Store jobs of all statuses, so that every part of their documents is seen."""
    for job_type in ("thorough", "broken", "linger"):
        body = {"job_type": job_type, "project_id": "code-indexer"}
        job = await ask(running, "POST", "/api/jobs", json=body)
        until = "status" if job_type == "linger" else "done"
        await ask(running, "GET", f"/api/jobs/{job['job_id']}?wait=20&until={until}&since=2")
    await ask(running, "POST", "/api/admin/pause", json={})
    held = {"job_type": "linger", "project_id": "p", "hold": True}
    job = await ask(running, "POST", "/api/jobs", json=held)
    await ask(running, "DELETE", f"/api/jobs/{job['job_id']}")
    await ask(running, "POST", "/api/jobs", json=held)


async def cancel_all(running: Server) -> None:
    """Leave no job that a resumed server could start: none may look for its repository."""
    path = "/api/jobs?status=pending&limit=200"
    while jobs := (await ask(running, "GET", path))["jobs"]:
        for job in jobs:
            await ask(running, "DELETE", f"/api/jobs/{job['job_id']}")


async def examine(running: Server, folder: Path, operations: Sequence[str]) -> None:
    """Hold the server against its document; fail with what was found."""
    token = (running.data_dir / "admin.token").read_text(encoding="utf-8").strip()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(CONFIG), "run", f"{running.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", *CHECKS, *operations),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES),
        *("--seed", SEED, "--generation-database", "none", "--request-timeout", "20"),
        *("--warnings", "off", "--no-color"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    if process.returncode != 0:
        pytest.fail(f"the server does not keep what its document promises:\n{text}")
    assert "operations" in text.lower()


async def test_a_server_keeps_what_its_document_promises(tmp_path: Path) -> None:
    """Every operation, and nothing is logged as a failure meanwhile."""
    handlers = "tests.functional.contract_jobs:TYPES"
    async with server(
        tmp_path / "data", auth="tokens", handlers=handlers, shutdown_grace_seconds="0"
    ) as running:
        await fill(running)
        apart = [word for name in DISTURBING for word in ("--exclude-operation-id", name)]
        await examine(running, tmp_path, apart)
        await cancel_all(running)
        alone = [word for name in DISTURBING for word in ("--include-operation-id", name)]
        await examine(running, tmp_path, alone)
        running.process.terminate()
        await running.ended()

    assert [line for line in running.lines if line.get("level") in {"error", "critical"}] == []
