"""The guards of conftest.py find what they are there to find."""

from pathlib import Path
from types import CodeType

import aiohttp
import pytest
from aioresponses import aioresponses
from blockbuster import BlockingError

import cidx_jobs


def code_of_ours(source: str) -> CodeType:
    """Compile *source* as if it stood in a file of the package."""
    return compile(source, str(Path(cidx_jobs.__path__[0], "planted.py")), "exec")


async def test_a_blocking_call_of_ours_is_found() -> None:
    """A planted `time.sleep` in the package, with a loop running, raises."""
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        exec(code_of_ours("import time; time.sleep(0)"))  # noqa: S102 - the planted fault


async def test_a_test_may_block_where_it_says_so(may_block: None) -> None:
    """With `may_block` the same planted call passes."""
    exec(code_of_ours("import time; time.sleep(0)"))  # noqa: S102 - the planted fault


async def test_a_test_itself_may_prepare_files(tmp_path: Path) -> None:
    """Blocking calls without the package on the stack are not counted."""
    (tmp_path / "file").write_text("text", encoding="utf-8")

    assert (tmp_path / "file").stat().st_size == 4


async def test_canned_answers_work_with_this_aiohttp() -> None:
    """Canned answers reach a client of the aiohttp that is installed."""
    url = "http://server.example/livez"
    with aioresponses() as canned:
        canned.get(url, payload={"ok": True}, headers={"ETag": 'W/"1"'})

        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            body = await answer.json()

    assert (answer.status, body, answer.headers["ETag"]) == (200, {"ok": True}, 'W/"1"')
