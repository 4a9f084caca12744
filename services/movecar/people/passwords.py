"""Passwords: argon2id, off the event loop, a few at a time."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher()
"""Argon2id with 64 MiB and three passes (RFC 9106, second recommended option)."""
_AT_ONCE = 2
"""Each check takes tens of milliseconds of CPU and 64 MiB; a flood of log-ins must not starve the calls."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        # Checked when there is no such user, so that the time taken does not tell who exists.
        self._decoy = HASHER.hash("no account has this password")

    async def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        async with self._slots:
            return await asyncio.to_thread(HASHER.hash, password)

    async def fits(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the one behind `stored`; takes as long when `stored` is None."""
        async with self._slots:
            return await asyncio.to_thread(_fits, password, stored or self._decoy) and stored is not None


def _fits(password: str, stored: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
