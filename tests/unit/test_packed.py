"""Long options are kept as text, and nobody who reads them notices."""

import copy
from typing import Any

import pytest

from cidx_jobs.model.job.packed import MIN_BYTES, PackedObject, count_bytes, pack
from cidx_jobs.store.sqlite.values import to_json
from cidx_jobs.wire.encode import encode

LONG: dict[str, Any] = {"names": [{}] * 1_000, "é": "x" * MIN_BYTES, "n": 2**63 - 1}


def test_a_long_object_is_kept_as_its_text() -> None:
    """A short one is left as it is."""
    packed, short = pack(LONG), {"a": 1}

    assert isinstance(packed, PackedObject)
    assert len(packed.text) < 5_000
    assert pack(short) is short
    assert pack(packed) == packed


def test_it_reads_as_the_object_that_it_is() -> None:
    """By name, as a whole, compared and copied; a copy is a dictionary that may be changed."""
    packed = pack(LONG)

    assert packed == LONG
    assert packed == LONG
    assert packed != {**LONG, "n": 0}
    assert packed == pack(dict(LONG))
    assert (packed["n"], packed.get("none"), len(packed)) == (2**63 - 1, None, 3)
    assert list(packed) == list(LONG)
    assert {**packed} == LONG
    for made in (copy.copy(packed), copy.deepcopy(packed)):
        assert type(made) is dict
        assert made == LONG
    with pytest.raises(TypeError):
        hash(packed)


def test_it_is_written_as_the_object_that_it_is() -> None:
    """On the wire, in the database, and where it is counted."""
    packed = pack(LONG)

    assert encode({"options": packed}) == encode({"options": LONG})
    assert encode([packed, "\ud800"]) == encode([LONG, "\ud800"])
    assert to_json(packed) == to_json(LONG)
    assert count_bytes(packed) == count_bytes(LONG)
