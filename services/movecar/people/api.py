"""Log-in and log-out."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from services.common.http.auth import COOKIE, ROLES, Principal, Role, Tokens
from services.common.http.endpoint import Answer, Body, Call, Endpoint, Nothing
from services.common.http.times import Moment
from services.movecar.people.sessions import Sessions


class LogIn(Body):
    """User name and password; `totp` is the second factor of those who have one."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(repr=False)
    totp: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None


class User(BaseModel):
    """The person logged in."""

    id: str
    username: str
    name: str
    role: Role


class StartedSession(BaseModel):
    """`token` goes into `Authorization: Bearer`; browsers use the cookie and send `csrf_token` back."""

    token: str
    csrf_token: str
    expires_at: Moment
    user: User


class CurrentSession(BaseModel):
    """Who is logged in by the cookie or token sent; for a page that was reloaded."""

    csrf_token: str
    expires_at: Moment
    user: User


def endpoints(sessions: Sessions, tokens: Tokens) -> list[Endpoint]:
    """Return the endpoints of log-in."""

    async def log_in(call: Call[LogIn, Nothing]) -> Answer:
        token, principal = await sessions.log_in(
            call.body.username, call.body.password, call.request.remote or ""
        )
        cookie = (
            f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; "
            f"Max-Age={sessions.seconds_left(principal)}" + ("; Secure" if call.request.secure else "")
        )
        answer = StartedSession(
            token=token,
            csrf_token=tokens.csrf(principal),
            expires_at=principal.expires_at,
            user=_user(principal),
        )
        return Answer(201, answer, headers={"Set-Cookie": cookie})

    async def current(call: Call[Nothing, Nothing]) -> Answer:
        principal = call.principal
        return Answer(
            200,
            CurrentSession(
                csrf_token=tokens.csrf(principal), expires_at=principal.expires_at, user=_user(principal)
            ),
        )

    async def log_out(call: Call[Nothing, Nothing]) -> Answer:
        await sessions.log_out(call.principal)
        gone = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        return Answer(204, headers={"Set-Cookie": gone})

    return [
        Endpoint("POST", "/sessions", "Log in", log_in, {201: StartedSession}, body=LogIn, problems=(401,)),
        Endpoint(
            "GET",
            "/sessions/current",
            "Who is logged in",
            current,
            {200: CurrentSession},
            roles=ROLES,
        ),
        Endpoint(
            "DELETE",
            "/sessions/current",
            "Log out",
            log_out,
            {204: None},
            roles=ROLES,
        ),
    ]


def _user(principal: Principal) -> User:
    return User(
        id=principal.account_id, username=principal.username, name=principal.name, role=principal.role
    )
