"""What the client of CIDX asks about projects: which there are, and whether they were synced."""

from typing import Annotated
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Meta

from cidx_jobs.web.http.call import Call
from cidx_jobs.web.http.query import Query
from cidx_jobs.web.http.route import JSON, Reply, route
from cidx_jobs.web.openapi import examples
from cidx_jobs.web.routes.cidx.documents import (
    CidxDiscoveryDocument,
    CidxMatchDocument,
    CidxRepositoryDocument,
    CidxRepositoryListDocument,
    CidxSyncStatusDocument,
)
from cidx_jobs.web.routes.cidx.groups import CIDX, load_repository
from cidx_jobs.wire.encode import decode, encode

_REPOSITORY = CidxRepositoryDocument.of(examples.PROJECT, examples.PREFIX)
_MATCH = CidxMatchDocument.of(examples.PROJECT)
_STATUS = CidxSyncStatusDocument.of(examples.PROJECT)


class DiscoverQuery(Query, frozen=True, kw_only=True):
    """Which repository is looked for."""

    source: Annotated[str, Meta(description="Its URL.", examples=[examples.URL])]


# By its place in the document of the API, whose schemas are made when it is asked for.
_STATUS_SCHEMA = {"$ref": "#/components/schemas/CidxSyncStatus"}


@route(
    "GET /repos",
    CIDX,
    scope="read",
    replies=[
        Reply(
            200,
            "All of them, by id.",
            CidxRepositoryListDocument(repositories=(_REPOSITORY,), total=1),
        )
    ],
)
async def list_repositories_of_cidx(call: Call) -> web.Response:
    """List the caller's projects."""
    projects = await call.api.jobs.persistence.projects.list_projects(call.user_id)
    rows = tuple(CidxRepositoryDocument.of(one, call.prefix) for one in projects)
    return call.answer(CidxRepositoryListDocument(repositories=rows, total=len(rows)))


@route(
    "GET /repos/discover",
    CIDX,
    scope="read",
    query=DiscoverQuery,
    replies=[
        Reply(
            200,
            "Those that are.",
            CidxDiscoveryDocument(
                query_url=examples.URL,
                normalized_url=examples.URL.removesuffix(".git"),
                golden_repositories=(),
                activated_repositories=(_MATCH,),
                total_matches=1,
            ),
        )
    ],
)
async def discover_repositories_of_cidx(call: Call, query: DiscoverQuery) -> web.Response:
    """Find the caller's projects that are copies of a repository."""
    wanted = _normalize(query.source)
    found = tuple(
        CidxMatchDocument.of(project)
        for project in await call.api.jobs.persistence.projects.list_projects(call.user_id)
        if project.repository_url is not None and _normalize(project.repository_url) == wanted
    )
    return call.answer(
        CidxDiscoveryDocument(
            query_url=query.source,
            normalized_url=wanted,
            golden_repositories=(),
            activated_repositories=found,
            total_matches=len(found),
        )
    )


@route(
    "GET /repos/sync-status",
    CIDX,
    scope="read",
    replies=[
        Reply(
            200,
            "By project.",
            media={
                JSON: (
                    {"type": "object", "additionalProperties": _STATUS_SCHEMA},
                    {examples.PROJECT_ID: decode(encode(_STATUS), dict)},
                )
            },
        )
    ],
)
async def list_sync_statuses_of_cidx(call: Call) -> web.Response:
    """Tell of each of the caller's projects whether it was synced."""
    projects = await call.api.jobs.persistence.projects.list_projects(call.user_id)
    return call.answer({one.project_id: CidxSyncStatusDocument.of(one) for one in projects})


@route(
    "GET /repos/{alias}/sync-status",
    CIDX,
    scope="read",
    replies=[Reply(200, "Whether it was.", _STATUS)],
)
async def get_sync_status_of_cidx(call: Call) -> web.Response:
    """Tell whether a project was synced."""
    project = await load_repository(call, call.request.match_info["alias"])
    return call.answer(CidxSyncStatusDocument.of(project))


def _normalize(url: str) -> str:
    """Return what two spellings of a repository's URL have in common."""
    text = url.strip().rstrip("/").removesuffix(".git")
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl()
