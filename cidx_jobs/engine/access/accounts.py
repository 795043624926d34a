"""Accounts: made, changed and removed by administrators, and used to log in."""

import secrets
from collections.abc import Sequence
from typing import NoReturn

from msgspec.structs import replace

from cidx_jobs.engine.access.admin_log import AdminLog
from cidx_jobs.engine.access.logins import Login, Logins
from cidx_jobs.engine.access.passwords import Passwords, is_known_hash
from cidx_jobs.engine.access.refused_tries import RefusedTries
from cidx_jobs.engine.operator_rules import NAME_RULE, is_user_id
from cidx_jobs.interfaces.access import Identity
from cidx_jobs.interfaces.clock import Clock
from cidx_jobs.interfaces.store.accounts import AccountStore
from cidx_jobs.model.account import (
    ACCOUNT_SCOPES,
    MAX_PASSWORD_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    Account,
)
from cidx_jobs.model.errors import (
    Fault,
    InvalidCredentialsError,
    TooManyLoginsError,
    UserExistsError,
    UserNotFoundError,
    ValidationError,
)
from cidx_jobs.model.ids import UserId


class Accounts:
    """The accounts of one server, and who is logged in by them."""

    def __init__(
        self,
        store: AccountStore,
        logins: Logins,
        passwords: Passwords,
        clock: Clock,
        admin_log: AdminLog,
    ) -> None:
        """Take where accounts are kept, what makes logins and hashes, and where refusals go."""
        self._store = store
        self._logins = logins
        self._passwords = passwords
        self._clock = clock
        self._admin_log = admin_log
        self._tries = RefusedTries(clock.monotonic)

    async def add(
        self,
        user_id: str,
        *,
        scope: str,
        password: str | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Make an account, by a password or by a hash of it that was made elsewhere.

        Raises:
            ValidationError: a member is wrong, or not exactly one of the last two was given.
            UserExistsError: the user has one.
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        faults = [] if is_user_id(user_id) else [Fault("/user_id", f"it has {NAME_RULE}")]
        faults += _scope_faults(scope)
        if (password is None) == (password_hash is None):
            faults.append(Fault("/password", "give either this or password_hash"))
        faults += _password_faults("/password", password) + _hash_faults(password_hash)
        if faults:
            raise ValidationError(faults)
        now = self._clock.now()
        account = Account(
            user_id=UserId(user_id),
            scope=scope,
            password_hash=password_hash or await self._passwords.hash(password or ""),
            generation=_make_generation(),
            created_at=now,
            changed_at=now,
        )
        if not await self._store.add_account(account):
            raise UserExistsError(user_id)
        return account

    async def change(
        self, user_id: str, *, password: str | None = None, scope: str | None = None
    ) -> Account:
        """Change an account; what is None stays. Older logins are refused at once.

        Raises:
            ValidationError: a member is wrong.
            UserNotFoundError: the user has no account.
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        faults = _password_faults("/password", password)
        faults += [] if scope is None else _scope_faults(scope)
        if faults:
            raise ValidationError(faults)
        made = None if password is None else await self._passwords.hash(password)
        while True:
            account = await self.get(user_id)
            changed = replace(
                account,
                scope=scope or account.scope,
                password_hash=made or account.password_hash,
            )
            stored = await self._store_changed(account, changed)
            if stored is not None:
                return stored

    async def change_password(
        self, user_id: str, old: str, new: str, *, address: str | None
    ) -> None:
        """Set another password, for the user who knows the one there is.

        Raises:
            ValidationError: the new one is too short or too long.
            InvalidCredentialsError: the old one is wrong, or there is no account.
            TooManyLoginsError: too many were wrong in the last minute.
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        if faults := _password_faults("/new", new):
            raise ValidationError(faults)
        account = await self._check_password(user_id, old, address)
        made = await self._passwords.hash(new)
        if await self._store_changed(account, replace(account, password_hash=made)) is None:
            self._refuse(user_id, address, account)

    async def remove(self, user_id: str) -> None:
        """Remove an account; its logins are refused at once.

        Raises:
            UserNotFoundError: the user has none.
        """
        was_there = await self._store.delete_account(UserId(user_id))
        self._logins.forget(UserId(user_id))
        if not was_there:
            raise UserNotFoundError(user_id)

    async def lock(self, user_id: str) -> None:
        """Refuse all logins of an account, old and new, until it is removed.

        Raises:
            UserNotFoundError: the user has none.
        """
        while True:
            account = await self.get(user_id)
            locked = replace(account, password_hash="")
            if await self._store_changed(account, locked) is not None:
                return

    async def get(self, user_id: str) -> Account:
        """Return the user's account.

        Raises:
            UserNotFoundError: the user has none.
        """
        account = await self._store.find_account(UserId(user_id))
        if account is None:
            raise UserNotFoundError(user_id)
        return account

    async def list(self) -> Sequence[Account]:
        """Return all accounts, by the names of the users."""
        return await self._store.list_accounts()

    async def log_in(self, user_id: str, password: str, *, address: str | None) -> Login:
        """Return a login for the right password.

        A wrong one takes as long as one for a user whom nobody knows.

        Args:
            user_id: who they say they are.
            password: what they show for it.
            address: where the try comes from; refused ones are counted for user and address.

        Raises:
            InvalidCredentialsError: user or password is wrong.
            TooManyLoginsError: too many were wrong in the last minute.
            ExtraMissingError: the extra ``accounts`` is not installed.
        """
        return await self._logins.issue(await self._check_password(user_id, password, address))

    async def renew(self, text: str) -> Login:
        """Return a new login for one that is still good.

        Raises:
            InvalidCredentialsError: it is no login, or not good any more.
        """
        identity = await self.identify(text)
        account = None if identity is None else await self._find(identity.user_id)
        if account is None:
            raise InvalidCredentialsError
        return await self._logins.issue(account)

    async def identify(self, text: str) -> Identity | None:
        """Return whose login it is; None when it is none, expired or revoked."""
        return await self._logins.read(text)

    async def _check_password(self, user_id: str, password: str, address: str | None) -> Account:
        try:
            self._tries.check((user_id, address))
        except TooManyLoginsError:
            self._admin_log.note_refusal("login_refused", address=address)
            raise
        account = await self._find(user_id)
        known = None if account is None else account.password_hash or None
        verdict = await self._passwords.compare(password, known)
        if account is None or not verdict.fits:
            self._refuse(user_id, address, account)
        self._tries.clear((user_id, address))
        if verdict.is_outdated:
            made = await self._passwords.hash(password)
            # The password is the same: logins that were made with it stay good.
            rehashed = replace(account, password_hash=made)
            await self._store.change_account(rehashed, generation=account.generation)
            return rehashed
        return account

    async def _find(self, user_id: str) -> Account | None:
        return await self._store.find_account(UserId(user_id)) if is_user_id(user_id) else None

    async def _store_changed(self, account: Account, changed: Account) -> Account | None:
        """Store a changed account as a new generation; None when somebody else was first."""
        changed = replace(changed, generation=_make_generation(), changed_at=self._clock.now())
        was_stored = await self._store.change_account(changed, generation=account.generation)
        self._logins.forget(account.user_id)
        return changed if was_stored else None

    def _refuse(self, user_id: str, address: str | None, account: Account | None) -> NoReturn:
        self._tries.count((user_id, address))
        # No other name: people type their password into the wrong field.
        known = None if account is None else account.user_id
        self._admin_log.note_refusal("login_refused", address=address, target=known)
        raise InvalidCredentialsError


def _make_generation() -> str:
    return secrets.token_urlsafe(12)


def _scope_faults(scope: str) -> list[Fault]:
    if scope in ACCOUNT_SCOPES:
        return []
    return [Fault("/scope", f"it is one of {', '.join(ACCOUNT_SCOPES)}")]


def _password_faults(pointer: str, password: str | None) -> list[Fault]:
    if password is None:
        return []
    if MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        return []
    rule = f"it has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters"
    return [Fault(pointer, rule)]


def _hash_faults(password_hash: str | None) -> list[Fault]:
    if password_hash is None or is_known_hash(password_hash):
        return []
    return [Fault("/password_hash", "it is an argon2id or a bcrypt hash")]
