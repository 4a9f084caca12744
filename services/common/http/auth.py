"""Who is calling: a signed token says it, so every service knows without asking another one.

The escalation side must work with movecar and the database down (C4), so a token carries what is needed and
is checked by its signature, its expiry and the list of sessions ended early.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from aiohttp import web
from itsdangerous import BadData, URLSafeSerializer

from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.http.problems import Problem

Role = Literal["operator", "supervisor", "desk", "auditor", "admin", "service"]
"""What somebody may do. `service` is one of our own processes that asks another one: no person has it, and it
opens only what names it."""
ROLES: frozenset[Role] = frozenset(get_args(Role)) - {"service"}
"""The roles of people."""

COOKIE = "movecar_session"
CSRF_HEADER = "X-Movecar-CSRF"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_VERIFIED = 2000


@dataclass(frozen=True, slots=True)
class Principal:
    """A logged-in person, or a service of ours."""

    account_id: str
    username: str
    name: str
    role: Role
    session_id: str
    expires_at: datetime


class Tokens:
    """Issues and reads session tokens."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._serializer = URLSafeSerializer(
            keys.derive("session"), salt="movecar.session", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._csrf_key = keys.derive("csrf")
        self._clock = clock
        self._ended: dict[str, datetime] = {}
        self._verified: dict[str, Principal] = {}
        """Tokens whose signature was found good: every turn of every live stream asks again."""

    def issue(self, principal: Principal) -> str:
        """Return the bearer token of a session."""
        return str(
            self._serializer.dumps(
                {
                    "sid": principal.session_id,
                    "sub": principal.account_id,
                    "usr": principal.username,
                    "nam": principal.name,
                    "rol": principal.role,
                    "exp": int(principal.expires_at.timestamp()),
                }
            )
        )

    def read(self, token: str) -> Principal | None:
        """Return the person behind a token, or None when it is forged, expired or its session ended."""
        principal = self._verified.get(token) or self._verify(token)
        if principal is None or principal.session_id in self._ended:
            return None
        return principal if principal.expires_at > self._clock.now() else None

    def _verify(self, token: str) -> Principal | None:
        try:
            claims = self._serializer.loads(token)
            principal = Principal(
                account_id=claims["sub"],
                username=claims["usr"],
                name=claims["nam"],
                role=claims["rol"],
                session_id=claims["sid"],
                expires_at=datetime.fromtimestamp(claims["exp"], tz=self._clock.now().tzinfo),
            )
        except (BadData, KeyError, TypeError, ValueError, UnicodeError):
            return None
        if len(self._verified) >= _MOST_VERIFIED:
            self._verified.clear()
        self._verified[token] = principal
        return principal

    def end(self, sessions: Iterable[tuple[str, datetime]]) -> None:
        """Refuse these sessions from now on; each is (session id, when its token expires anyway)."""
        self._ended.update(sessions)
        horizon = self._clock.now() - timedelta(minutes=1)
        for session_id in [key for key, expires in self._ended.items() if expires < horizon]:
            del self._ended[session_id]

    def csrf(self, principal: Principal) -> str:
        """Return the value a browser must send back with every change it makes by cookie."""
        return hmac.new(self._csrf_key, principal.session_id.encode(), hashlib.sha256).hexdigest()[:32]

    def authenticate(self, request: web.Request) -> Principal:
        """Return who sent the request. Raises Problem 401, or 403 for a cookie without its CSRF header."""
        header = request.headers.get("Authorization", "")
        scheme, _, bearer = header.partition(" ")
        by_cookie = not header
        token = request.cookies.get(COOKIE, "") if by_cookie else bearer.strip()
        if (not by_cookie and scheme.lower() != "bearer") or not token:
            raise _unauthenticated()
        principal = self.read(token)
        if principal is None:
            raise _unauthenticated()
        if by_cookie and request.method not in _SAFE_METHODS:
            sent = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(sent.encode(errors="replace"), self.csrf(principal).encode()):
                raise Problem(403, "csrf_failed", "页面已过期，请刷新后重试")
        return principal


def _unauthenticated() -> Problem:
    return Problem(401, "unauthenticated", "请先登录", headers={"WWW-Authenticate": "Bearer"})
