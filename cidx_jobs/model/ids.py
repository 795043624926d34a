"""The names of things: job, user and project ids, and the rules they keep."""

import hashlib
import re
from typing import NewType

JobId = NewType("JobId", str)
UserId = NewType("UserId", str)
ProjectId = NewType("ProjectId", str)
CopyId = NewType("CopyId", str)
"""Names the copy and index of what many projects may sync: a digest of what that is."""

JOB_ID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
PROJECT_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
JOB_TYPE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MAX_USER_ID_CHARACTERS = 128
PROJECT_ID_RULE = "it has 1 to 64 characters, letters and digits, or . _ - behind the first"
"""What `PROJECT_ID_PATTERN` says, for people; also of schedules' names."""

_JOB_ID = re.compile(JOB_ID_PATTERN)
_JOB_TYPE = re.compile(JOB_TYPE_PATTERN)
_PROJECT_ID = re.compile(PROJECT_ID_PATTERN)
_UUID7_VERSION = 0x7
_UUID_VARIANT = 0b10


def make_job_id(unix_milliseconds: int, counter: int, randomness: int) -> JobId:
    """Build a UUIDv7 (RFC 9562, method 1 of section 6.2: a fixed-length counter) in lower case.

    Args:
        unix_milliseconds: the time, 48 bits.
        counter: orders the ids of one millisecond, 12 bits.
        randomness: 62 random bits.
    """
    number = (unix_milliseconds & 0xFFFF_FFFF_FFFF) << 80
    number |= _UUID7_VERSION << 76 | (counter & 0xFFF) << 64
    number |= _UUID_VARIANT << 62 | (randomness & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{number:032x}"
    return JobId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def make_copy_id(*words: str) -> CopyId:
    """Return the name of a copy's directory: a hash, never their words."""
    return CopyId(hashlib.sha256("\0".join(words).encode()).hexdigest()[:32])


def make_lone_copy_id(user_id: UserId, project_id: ProjectId) -> CopyId:
    """Return the name of a copy that is of one project alone, as all were before they shared."""
    return make_copy_id(user_id, project_id)


def is_job_id(text: str) -> bool:
    """Tell whether *text* has the form of a job id (it need not name a job)."""
    return _JOB_ID.fullmatch(text) is not None


def is_job_type(text: str) -> bool:
    """Tell whether *text* has the form of a job type's name (it need not be registered)."""
    return _JOB_TYPE.fullmatch(text) is not None


def is_project_id(text: str) -> bool:
    """Tell whether *text* is 1 to 64 characters of ``[A-Za-z0-9._-]``, the first no mark."""
    return _PROJECT_ID.fullmatch(text) is not None
