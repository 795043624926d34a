"""The codes of what goes wrong between the server and a remote repository."""

from collections.abc import Mapping
from types import MappingProxyType

from cidx_jobs.model.error_code import Guidance
from cidx_jobs.model.job.job import Category, Severity

_RECOVERABLE = Severity.RECOVERABLE
_PERSISTENT = Severity.PERSISTENT
_RETRY = True
_FINAL = False

REMOTE_GUIDANCE: Mapping[str, Guidance] = MappingProxyType(
    {
        "GIT-001": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The remote has no such repository, or does not show it to us.",
            (
                "Check the repository URL.",
                "For a private repository, ask the operator for credentials.",
            ),
        ),
        "GIT-002": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The repository has no such branch.",
            (
                "Check the branch name.",
                "Sync with a branch that is there: without one the project's last is followed.",
            ),
        ),
        "GIT-003": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "What stands at the URL is not a git repository.",
            ("Check the repository URL.",),
        ),
        "GIT-004": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The repository is empty: it has no commit to index.",
            ("Push a commit to the repository, then sync again.",),
        ),
        "GIT-005": Guidance(
            Category.GIT_OPERATION,
            _RECOVERABLE,
            _RETRY,
            "The copy or what was received is damaged; the next attempt clones anew.",
            ("Retry the job.", "If it comes again, run git fsck on the repository."),
        ),
        "GIT-006": Guidance(
            Category.GIT_OPERATION,
            _RECOVERABLE,
            _RETRY,
            "git failed for a reason that is not recognised; its last line is shown.",
            ("Retry the job.", "Look up the message of git."),
        ),
        "GIT-007": Guidance(
            Category.GIT_OPERATION,
            _PERSISTENT,
            _FINAL,
            "The remote refused the transport or the operation.",
            ("Use an https URL of a repository that may be read.",),
        ),
        "AUTH-001": Guidance(
            Category.AUTHENTICATION,
            _PERSISTENT,
            _FINAL,
            "The remote asks for credentials, and the server has none for it.",
            ("Ask the operator to set up a credential helper for this host.",),
        ),
        "AUTH-002": Guidance(
            Category.AUTHENTICATION,
            _PERSISTENT,
            _FINAL,
            "The remote does not let the server's credentials read the repository.",
            ("Ask the repository's owner for read access.",),
        ),
        "NET-001": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The host's name cannot be resolved.",
            ("Check the host in the repository URL.", "Retry later."),
        ),
        "NET-002": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The host cannot be reached or refused the connection.",
            ("Retry later.", "Check that the host is up."),
        ),
        "NET-003": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host's TLS certificate or handshake failed.",
            ("Ask the host's owner to mend its certificate.",),
        ),
        "NET-004": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            _RETRY,
            "The connection was too slow or broke off.",
            ("Retry later.",),
        ),
        "NET-005": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host leads to an address inside the server's network.",
            ("Ask the operator to list the host in git_allowed_hosts.",),
        ),
        "NET-006": Guidance(
            Category.NETWORK,
            _PERSISTENT,
            _FINAL,
            "The host leads on to another place; only the host of the URL is spoken to.",
            ("Use the URL that the host redirects to.",),
        ),
        "NET-007": Guidance(
            Category.NETWORK,
            _RECOVERABLE,
            retryable=True,
            meaning="The host answers with an error of its own, or asks to be left alone.",
            actions=("Retry later.", "Check that the host is well."),
        ),
    }
)
"""What their readers can do about them."""
