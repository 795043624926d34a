"""Searches and the list of skipped files over HTTP: pages, cursors, damage."""

from typing import Any

import pytest

from cidx_jobs.model.ids import CopyId, JobId, ProjectId, UserId
from cidx_jobs.model.index import Document, DraftRequest, TreeEntry
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import DataDirectory
from tests.functional.web import House, problem_of

ALICE, CODE, COPY = UserId("alice"), ProjectId("code"), CopyId("copy")
PATH = "/api/projects/code"
FILES = {"a.txt": b"hit\n" * 3, "b.txt": b"Hit\n" * 2, "c.bin": b"\0hit", "d.bin": b"\0\1"}


@pytest.fixture
async def indexed(house: House) -> House:
    """Give a project of alice an index."""
    await house.jobs.persistence.projects.save_project(
        Project(user_id=ALICE, project_id=CODE, copy_id=COPY)
    )
    names = {path: f"{number:040x}" for number, path in enumerate(FILES)}
    tree = [TreeEntry(path, "100644", names[path], len(data)) for path, data in FILES.items()]
    indexer = house.jobs.indexer
    async with indexer.draft(
        DraftRequest(
            copy_id=COPY, user_id=ALICE, project_id=CODE, job_id=JobId("j"), run=1, full=False
        )
    ) as draft:
        await draft.compare(tree, 1_000)
        await draft.take_wanted(10, 1_000)
        await draft.add([Document(names[path], data) for path, data in FILES.items()])
        await draft.publish("c1", {})
    return house


async def read(house: House, path: str, **params: Any) -> dict[str, Any]:
    """Get a document."""
    answer = await house.ask("GET", f"{PATH}{path}", params=params)
    assert answer.status == 200, await answer.text()
    document: dict[str, Any] = await answer.json()
    return document


async def test_a_search_goes_on_by_its_cursor(indexed: House) -> None:
    """Page by page to the end; each page names the commit."""
    found = []
    page = await read(indexed, "/search", q="hit", limit=2)
    pages = 1
    while True:
        found += [(hit["path"], hit["line_number"], hit["line"]) for hit in page["hits"]]
        assert page["commit"] == "c1"
        assert page["truncated"] == (page["next_cursor"] is not None)
        if page["next_cursor"] is None:
            break
        page = await read(indexed, "/search", q="hit", limit=2, cursor=page["next_cursor"])
        pages += 1

    assert pages == 3
    assert found == [
        *(("a.txt", number, "hit") for number in (1, 2, 3)),
        *(("b.txt", number, "Hit") for number in (1, 2)),
    ]


async def test_what_is_not_in_the_index_is_listed(indexed: House) -> None:
    """By path, page by page; the project has the counts."""
    first = await read(indexed, "/skipped", limit=1)
    second = await read(indexed, "/skipped", limit=1, cursor=first["next_cursor"])

    assert first["skipped"] == [{"path": "c.bin", "reason": "binary", "bytes": 4}]
    assert second["skipped"] == [{"path": "d.bin", "reason": "binary", "bytes": 2}]
    assert second["next_cursor"] is None
    assert (await read(indexed, ""))["files_skipped"] == {"binary": 2}


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"q": "hi"}, 422, "validation_failed"),
        ({"q": "hit", "limit": "1001"}, 400, "invalid_parameter"),
        ({"q": "hit", "limit": "0"}, 400, "invalid_parameter"),
        ({"q": "hit", "cursor": "x"}, 400, "invalid_cursor"),
        ({"q": "hit", "cursor": "tYQ-00000000"}, 400, "invalid_cursor"),
        ({"q": "hit", "cursor": "t_w-00000000"}, 400, "invalid_cursor"),
    ],
)
async def test_a_wrong_question_is_refused(
    indexed: House, params: dict[str, str], status: int, code: str
) -> None:
    """With the code of its kind."""
    answer = await indexed.ask("GET", f"{PATH}/search", params=params)

    assert answer.status == status
    assert problem_of(answer, await answer.json())["code"] == code


async def test_a_cursor_belongs_to_its_search(indexed: House) -> None:
    """One of another text is none."""
    page = await read(indexed, "/search", q="hit", limit=1)

    answer = await indexed.ask(
        "GET", f"{PATH}/search", params={"q": "hits", "cursor": page["next_cursor"]}
    )

    assert problem_of(answer, await answer.json())["code"] == "invalid_cursor"


async def test_a_damaged_index_is_a_conflict(indexed: House) -> None:
    """The doctor finds it too, where it looks deep."""
    projects = DataDirectory(indexed.jobs.settings.data_dir).projects
    (path,) = (projects / COPY).glob("*.db")
    path.write_bytes(b"no database" * 1_000)

    answer = await indexed.ask("GET", f"{PATH}/search", params={"q": "hit"})
    doctor = await indexed.ask("GET", "/api/admin/doctor", params={"deep": "true"}, user="root")

    assert problem_of(answer, await answer.json())["code"] == "index_damaged"
    assert answer.status == 409
    findings = (await doctor.json())["findings"]
    assert [finding["kind"] for finding in findings] == ["files"]
    assert "project code of alice: its index" in findings[0]["message"]
