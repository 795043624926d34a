"""The options of a repository sync: their schema, what a submit makes of them, and its copy."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from cidx_jobs.handlers.git.url_rules import URL_POINTER, RemoteRules, check_branch
from cidx_jobs.job_types import Admission
from cidx_jobs.model.errors import ValidationError
from cidx_jobs.model.ids import CopyId, make_copy_id
from cidx_jobs.model.job.job import JsonObject
from cidx_jobs.model.job.key_limits import key_of_host
from cidx_jobs.model.listing import Project
from cidx_jobs.settings import Settings

# Begins the key that all syncs of one copy have: one of them runs at a time.
_COPY_KEY = "copy:"
_DEFAULT_BRANCH = ""


class SyncOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a repository sync can be told."""

    repository_url: Annotated[
        str | None,
        Meta(
            description="Left out or null: the url of the project's last successful sync or, "
            "before one, of its last submit."
        ),
    ] = None
    branch: Annotated[
        str | UnsetType | None,
        Meta(
            description="Left out: the branch of the project's last successful sync or, before "
            "one, of its last submit. Null or empty: the remote's default branch."
        ),
    ] = UNSET
    full_reindex: Annotated[bool, Meta(description="Make the index anew.")] = False
    skip_indexing: Annotated[bool, Meta(description="Only fetch, and count the changes.")] = False

    @property
    def asked_branch(self) -> str | None:
        """The branch that is given; None for the default one, and where nothing was said."""
        return self.branch or None if isinstance(self.branch, str) else None


def make_admit(rules: RemoteRules) -> Callable[[JsonObject, Project], Admission]:
    """Return the rule by which submits of a sync are taken."""
    return lambda options, project: admit(rules, options, project)


def make_limits(
    rules: RemoteRules, settings: Settings
) -> Callable[[SyncOptions], Mapping[str, int]]:
    """Return the rule of how many syncs of one code host, and of one copy, run at a time."""
    return lambda options: find_limits(rules, settings, options)


def find_limits(rules: RemoteRules, settings: Settings, options: SyncOptions) -> Mapping[str, int]:
    """Return the limits of the copy and of the remote's host; this machine is no host."""
    remote = rules.read(options.repository_url or "")
    limits = {_COPY_KEY + find_copy_id(settings, remote.url, options.asked_branch): 1}
    if remote.host:
        limits[key_of_host(remote.host_name).name] = settings.git_per_host
    return limits


def find_copy_id(settings: Settings, url: str, branch: str | None) -> CopyId:
    """Return the name of the copy of a branch of a repository; None is the default branch.

    Whoever may see the repository is asked of its remote at each sync, and the server has one set
    of credentials for all its users: what one of them was let in to, all may share that are let
    in. What another setting would make of the same commit is another copy.
    """
    how = settings.index_command or ()
    return make_copy_id(
        "copy",
        url,
        _DEFAULT_BRANCH if branch is None else branch,
        str(settings.git_depth),
        str(settings.git_submodules),
        *how,
    )


def admit(rules: RemoteRules, options: JsonObject, project: Project) -> Admission:
    """Fill in what the project knows, and check it.

    A url that differs from the project's means another repository: its branch is what is given.
    So it is with a branch that is given as null or empty: it means the default one.

    Raises:
        ValidationError: url or branch are wrong, or there is no url; with their pointers.
    """
    asked = msgspec.convert(options, SyncOptions)
    if asked.repository_url is None and project.repository_url is None:
        raise ValidationError.at(URL_POINTER, "it is needed: the project has no repository yet")
    url = asked.repository_url if asked.repository_url is not None else project.repository_url
    remote = rules.read(url or "")
    branch = asked.asked_branch
    if asked.branch is UNSET and remote.url == project.repository_url:
        branch = project.branch
    if branch is not None:
        check_branch(branch)
    whole = replace(asked, repository_url=remote.url, branch=branch)
    return Admission(
        options=msgspec.to_builtins(whole),
        project=replace(project, repository_url=remote.url, branch=branch),
    )
