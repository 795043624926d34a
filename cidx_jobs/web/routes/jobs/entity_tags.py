"""Entity tags of jobs (RFC 9110, 8.8.3): the version, and the queue's revision while it waits."""

import re

import msgspec

from cidx_jobs.model.job.job import Job

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_VERSION = re.compile(r"[0-9]{1,19}")


class Known(msgspec.Struct, frozen=True):
    """What a reader has of the job: versions, and tags that also name the queue's revision."""

    versions: frozenset[int]
    tags: frozenset[str]
    is_anything: bool = False
    """The reader sent ``*``: whatever there is."""

    def covers(self, job: Job, tag: str) -> bool:
        """Tell whether the reader has the job as it is, as far as they can tell."""
        return self.is_anything or tag in self.tags or job.version in self.versions

    @property
    def named_versions(self) -> frozenset[int]:
        """The versions that are named, in tags too."""
        parts = (tag.partition(".")[0] for tag in self.tags)
        return self.versions | {int(part) for part in parts if _VERSION.fullmatch(part)}


def read_tags(text: str) -> Known:
    """Return what ``If-None-Match`` or ``If-Match`` names (RFC 9110, 8.8.3)."""
    if text.strip() == "*":
        return Known(frozenset(), frozenset(), is_anything=True)
    tags = frozenset(_TAG.findall(text))
    versions = frozenset(int(tag) for tag in tags if _VERSION.fullmatch(tag))
    return Known(versions, tags)
