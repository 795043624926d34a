"""How a remote is reached: at which addresses or through which proxy, and by whose right."""

from pathlib import Path

import attrs

from cidx_jobs.handlers.git.local_repository import find_git_directory
from cidx_jobs.handlers.git.network.credentials import find_credential
from cidx_jobs.handlers.git.network.host_addresses import Resolve, check_addresses, find_addresses
from cidx_jobs.handlers.git.network.operator_files import check_file
from cidx_jobs.handlers.git.network.proxies import ProxyRules
from cidx_jobs.handlers.git.shields import Access, Credential
from cidx_jobs.handlers.git.url_rules import WEB, Remote, Scheme
from cidx_jobs.runtime.blocking import in_own_thread
from cidx_jobs.settings import DataDirectory, Settings, read_proxy_variables


class Approach:
    """Finds the way to remotes; the operator's files are looked at anew each time."""

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        """Take what is allowed and given, and who looks names up."""
        self._settings = settings
        self._resolve = resolve
        environment_url, exceptions = read_proxy_variables()
        self._proxies = ProxyRules(
            url=settings.git_proxy, environment_url=environment_url, exceptions=exceptions
        )

    async def find(self, remote: Remote) -> Access:
        """Return how git may speak to the remote.

        Raises:
            JobFailure: the host is not known (NET-001) or leads inside (NET-005), a file of the
                operator cannot be used (CFG-006), or a local repository is none.
        """
        if remote.scheme is Scheme.LOCAL:
            roots = self._settings.git_local_roots
            source = await in_own_thread(find_git_directory, remote.url, roots)
            return Access(remote=remote, source=source)
        access = await in_own_thread(self._give_rights, remote)
        if access.proxy is None:
            addresses = await find_addresses(remote, self._resolve)
            return attrs.evolve(access, addresses=addresses)
        # The proxy looks the name up. What is known of it here is held against the rules all the
        # same, unless the operator lists the host.
        if not remote.is_allowed_inside:
            await check_addresses(remote, self._resolve)
        return access

    def _give_rights(self, remote: Remote) -> Access:
        settings = self._settings
        if remote.scheme is Scheme.SSH:
            return Access(
                remote=remote,
                source=remote.url,
                ssh_key=_checked("git_ssh_key", settings.git_ssh_key),
                known_hosts=_checked("git_ssh_known_hosts", settings.git_ssh_known_hosts),
            )
        return Access(
            remote=remote,
            source=remote.url,
            proxy=self._proxies.find(remote),
            ca_file=_checked("git_ca_file", settings.git_ca_file),
            credential=self._find_credential(remote),
        )

    def _find_credential(self, remote: Remote) -> Credential | None:
        if remote.scheme not in WEB:
            return None
        if self._settings.git_credentials is not None:
            file = _checked("git_credentials", self._settings.git_credentials)
        else:
            file = DataDirectory(self._settings.data_dir).git_credentials
        if file is None or not file.exists():
            return None
        return find_credential(file, remote)


def _checked(setting: str, path: Path | None) -> Path | None:
    if path is not None:
        check_file(setting, path)
    return path
