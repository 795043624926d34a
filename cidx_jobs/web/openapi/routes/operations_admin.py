"""What the routes of administrators take and give."""

from collections.abc import Mapping

from cidx_jobs.web.openapi import examples
from cidx_jobs.web.openapi.routes.contract import Operation, Parameter, Reply
from cidx_jobs.wire.findings import DoctorDocument
from cidx_jobs.wire.request_bodies import CleanupBody, EmptyBody, LimitsBody, PauseBody, TokenBody
from cidx_jobs.wire.server import CleanupDocument, LimitsDocument, PausesDocument, StatsDocument
from cidx_jobs.wire.tokens import NewTokenDocument, TokenListDocument


def _pauses(status: int, about: str, example: PausesDocument) -> Reply:
    return Reply(status=status, about=about, document=PausesDocument, example=example)


ADMIN_OPERATIONS: Mapping[str, Operation] = {
    "GET /admin/stats": Operation(
        name="getStats",
        group="admin",
        summary="Count what is stored and what is in use.",
        replies=(
            Reply(status=200, about="The counts.", document=StatsDocument, example=examples.STATS),
        ),
    ),
    "GET /admin/doctor": Operation(
        name="examine",
        group="admin",
        summary="Compare rows, log, slots, queue, runs and children.",
        about="The answer is 200 whatever is found; only what is found at every look is told.",
        parameters=(
            Parameter(
                "deep",
                "Also compare every index of the database, which takes longer.",
                {"type": "boolean", "default": False},
                example=True,
            ),
        ),
        replies=(
            Reply(
                status=200,
                about="What does not fit together.",
                document=DoctorDocument,
                example=examples.DOCTOR,
            ),
        ),
    ),
    "GET /admin/limits": Operation(
        name="getLimits",
        group="admin",
        summary="Read the limits in force.",
        replies=(
            Reply(
                status=200, about="The limits.", document=LimitsDocument, example=examples.LIMITS
            ),
        ),
    ),
    "PATCH /admin/limits": Operation(
        name="changeLimits",
        group="admin",
        summary="Put other limits in force, and keep them over restarts.",
        about="What is not named stays. Lowering a limit ends nothing that runs.",
        body=LimitsBody,
        body_example={"max_running_per_user": 10, "resources": {"git": 5}},
        replies=(
            Reply(
                status=200,
                about="The limits now.",
                document=LimitsDocument,
                example=examples.LIMITS,
            ),
        ),
    ),
    "POST /admin/pause": Operation(
        name="pause",
        group="admin",
        summary="Keep everything, a user's jobs, or those of a type from starting.",
        about="What runs goes on. Without members it is about everything.",
        body=PauseBody,
        body_example={"user_id": "bob"},
        replies=(_pauses(200, "What is paused now.", examples.PAUSES),),
    ),
    "POST /admin/resume": Operation(
        name="resume",
        group="admin",
        summary="Let them start again.",
        body=PauseBody,
        body_example={"user_id": "bob"},
        replies=(_pauses(200, "What is still paused.", examples.NOTHING_PAUSED),),
    ),
    "POST /admin/drain": Operation(
        name="drain",
        group="admin",
        summary="Refuse new jobs, start none, and finish what runs.",
        body=EmptyBody,
        body_example={},
        replies=(_pauses(202, "It has begun.", examples.DRAINING),),
    ),
    "DELETE /admin/drain": Operation(
        name="endDrain",
        group="admin",
        summary="Take new jobs again.",
        body=EmptyBody,
        body_example={},
        replies=(_pauses(200, "It is over.", examples.NOTHING_PAUSED),),
    ),
    "POST /admin/cleanup": Operation(
        name="cleanUp",
        group="admin",
        summary="Delete finished jobs that are old enough, with their events.",
        about="It deletes in batches, each a transaction: submits go on meanwhile.",
        body=CleanupBody,
        body_is_required=True,
        body_example={"older_than_seconds": 86_400, "statuses": ["completed"], "dry_run": True},
        replies=(
            Reply(
                status=200,
                about="How many there were, and how many are gone.",
                document=CleanupDocument,
                example=examples.CLEANUP,
            ),
        ),
    ),
    "GET /admin/tokens": Operation(
        name="listTokens",
        group="admin",
        summary="List the access tokens, without their texts.",
        replies=(
            Reply(
                status=200,
                about="All of them, oldest first.",
                document=TokenListDocument,
                example=examples.TOKEN_LIST,
            ),
        ),
    ),
    "POST /admin/tokens": Operation(
        name="createToken",
        group="admin",
        summary="Make an access token; its text is shown this once.",
        body=TokenBody,
        body_is_required=True,
        body_example={"user_id": "alice", "scope": "write", "label": "laptop"},
        replies=(
            Reply(
                status=201,
                about="The token.",
                document=NewTokenDocument,
                example=examples.NEW_TOKEN,
                headers=("Location",),
            ),
        ),
    ),
    "DELETE /admin/tokens/{token_id}": Operation(
        name="revokeToken",
        group="admin",
        summary="Revoke an access token at once.",
        replies=(Reply(status=204, about="It opens nothing any more."),),
        errors=("token_not_found",),
    ),
}
"""By method and path, the path below the prefix."""
