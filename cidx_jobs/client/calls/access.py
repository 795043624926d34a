"""Routes of people: who logs in, and who one is."""

from cidx_jobs.client.calls.routes import Routes
from cidx_jobs.wire.request_bodies import LoginBody, PasswordBody
from cidx_jobs.wire.tokens import LoginDocument, ValidDocument


class AccessRoutes(Routes):
    """One method for each of these routes."""

    async def log_in(self, username: str, password: str) -> LoginDocument:
        """Return a login: its `access_token` is the token of a client from then on.

        Raises:
            AuthenticationError: user or password is wrong.
            ServerBusyError: too many were wrong in the last minute.
        """
        body = LoginBody(username=username, password=password)
        # A repeat of a wrong one would count twice.
        return await self._read(LoginDocument, "POST", "/auth/login", body, is_safe=False)

    async def validate_login(self) -> ValidDocument:
        """Tell whose the client's token is.

        Raises:
            AuthenticationError: it is nobody's.
        """
        return await self._get(ValidDocument, "/auth/validate")

    async def change_password(self, old: str, new: str) -> None:
        """Set another password for oneself; logins from before are refused.

        Raises:
            AuthenticationError: the old one is wrong.
            RequestRefusedError: the new one is too short or too long.
        """
        body = PasswordBody(old=old, new=new)
        await self._ask("POST", "/auth/password", body, is_safe=False)
