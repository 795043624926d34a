"""What the writer remembers of its rows: bounded, and never a block that is not committed."""

from cidx_jobs.store.sqlite.commit.known_rows import MAX_JOBS, KnownRows


def test_a_job_is_known_until_it_is_forgotten() -> None:
    """By itself, with all, or when there are too many."""
    known = KnownRows()
    known.note_job("a", 1)
    known.note_job("b", 2)

    known.forget_job("a")

    assert (known.find_job("a"), known.find_job("b")) == (None, 2)
    known.forget()
    assert known.find_job("b") is None
    for number in range(MAX_JOBS + 1):
        known.note_job(str(number), number)
    assert known.find_job("0") is None
    assert known.find_job(str(MAX_JOBS)) == MAX_JOBS


def test_bytes_of_a_user_are_known_once_they_were_read() -> None:
    """What is committed changes them, never below nothing; of others nothing is learnt."""
    known = KnownRows()
    known.note_bytes("alice", 100)

    known.charge({"alice": 20, "bob": 5})

    assert (known.find_bytes("alice"), known.find_bytes("bob")) == (120, None)
    known.charge({"alice": -500})
    assert known.find_bytes("alice") == 0
    known.forget()
    assert known.find_bytes("alice") is None


def test_only_blocks_that_are_not_known_are_stored() -> None:
    """Those of the newest block are remembered, and older ones looked at by the database."""
    known = KnownRows()
    known.note_blocks({("bob", 3), ("alice", 4)})

    lacking = known.lacking({("alice", 4), ("bob", 4), ("bob", 3)})

    assert lacking == [("bob", 3), ("bob", 4)]
    known.forget()
    assert known.lacking({("alice", 4)}) == [("alice", 4)]
