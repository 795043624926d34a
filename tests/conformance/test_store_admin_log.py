"""What every `AdminLogStore` promises."""

from cidx_jobs.interfaces.store.admin_log import MAX_REFUSALS, AdminLogStore
from cidx_jobs.model.admin.log import AdminEntry
from tests.stored import NOON


def entry_of(action: str, *, is_refusal: bool = False) -> AdminEntry:
    """Return an entry as it might be stored."""
    return AdminEntry(
        at=NOON,
        actor=None if is_refusal else "root",
        action=action,
        target="user bob",
        address="192.0.2.7",
        is_refusal=is_refusal,
    )


async def test_entries_are_listed_newest_first_by_pages(admin_log: AdminLogStore) -> None:
    """Each has its number, by which the next page goes on; all members come back."""
    await admin_log.add_entries([entry_of("paused"), entry_of("resumed")])
    await admin_log.add_entries([entry_of("token_refused", is_refusal=True)])

    first = await admin_log.list_entries(limit=2)
    rest = await admin_log.list_entries(limit=2, before=first[-1].number)

    assert [one.action for one in (*first, *rest)] == ["token_refused", "resumed", "paused"]
    assert [one.number for one in (*first, *rest)] == [3, 2, 1]
    assert first[0].is_refusal
    assert (rest[0].at, rest[0].actor, rest[0].target) == (NOON, "root", "user bob")
    assert rest[0].address == "192.0.2.7"


async def test_refusals_push_out_no_act(admin_log: AdminLogStore) -> None:
    """Of refusals the newest are kept, however many come; what was done before stays."""
    many = [entry_of("token_refused", is_refusal=True)] * (MAX_REFUSALS + 200)
    await admin_log.add_entries([entry_of("paused")])
    await admin_log.add_entries(many)

    kept = await admin_log.list_entries(limit=2 * MAX_REFUSALS)

    assert MAX_REFUSALS < len(kept) < MAX_REFUSALS + 100
    assert kept[0].number == len(many) + 1
    assert kept[-1].action == "paused"
